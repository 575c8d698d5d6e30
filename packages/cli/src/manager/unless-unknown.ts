/** For what may be missing: `.catch(unlessUnknown)` gives undefined where the manager knows no such thing. @throws any other error */
export function unlessUnknown(error: unknown): undefined {
  if (!(error instanceof Error && 'code' in error && error.code === 'not_found')) throw error;
}
