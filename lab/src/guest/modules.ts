/** Kernel modules in the order in which they can be loaded. */

/** A module's file name without `.ko`; the kernel takes `-` and `_` for the same. */
export const moduleName = (file: string): string => file.replace(/^.*\//, '').replace(/\.ko$/, '').replaceAll('-', '_');

/**
 * The modules that a module needs: the `depends=` of its .modinfo section, where each entry ends with a NUL.
 * @param image the module's file
 */
export const needsOf = (image: Buffer): readonly string[] => {
  const key = '\0depends=';
  const start = image.indexOf(key, 0, 'latin1');
  if (start < 0) return [];
  const value = image.toString('latin1', start + key.length, image.indexOf(0, start + key.length));
  return value === '' ? [] : value.split(',').map(moduleName);
};

/**
 * @param needs the modules that one needs
 * @returns `wanted` and all that they need, each after what it needs
 */
export const loadOrder = (wanted: readonly string[], needs: (module: string) => readonly string[]): readonly string[] => {
  const order = new Set<string>();
  const visit = (module: string): void => {
    if (order.has(module)) return;
    needs(module).forEach(visit);
    order.add(module);
  };
  wanted.forEach(visit);
  return [...order];
};
