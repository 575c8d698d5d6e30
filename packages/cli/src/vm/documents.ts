/** Files of definitions: JSON, or YAML with any number of documents. */
import { readFile } from 'node:fs/promises';
import { parseAllDocuments } from 'yaml';
import { UsageError } from '../exit-codes.ts';

export interface Document {
  /** For errors: `web.yaml, document 2`. */
  readonly where: string;
  readonly value: Readonly<Record<string, unknown>>;
}

/**
 * @param file `-` is standard input
 * @throws UsageError that names the file, and the line where it is no YAML
 */
export async function readDocuments(file: string): Promise<Document[]> {
  const name = file === '-' ? 'standard input' : file;
  let text: string;
  try {
    text = await readFile(file === '-' ? '/dev/stdin' : file, 'utf8');
  } catch (error) {
    throw new UsageError(`${name} cannot be read: ${error instanceof Error ? error.message : error}`);
  }
  return parseDocuments(text, name);
}

/** JSON is YAML as well (YAML 1.2.2, §1.3), so one parser reads both. An array stands for its parts; what is empty is left out. */
export function parseDocuments(text: string, name: string): Document[] {
  const values = parseAllDocuments(text).flatMap((document) => {
    const [error] = document.errors;
    if (error) throw new UsageError(`${name} is neither JSON nor YAML: ${error.message.trim()}`);
    let value: unknown;
    try {
      value = document.toJS();
    } catch (cause) {
      throw new UsageError(`${name} cannot be read: ${cause instanceof Error ? cause.message : cause}`); // aliases without end, say
    }
    return Array.isArray(value) ? value : [value];
  });
  const documents = values.flatMap((value: unknown, n) => {
    if (value === null || value === undefined) return [];
    const where = values.length > 1 ? `${name}, document ${n + 1}` : name;
    if (!isObject(value)) throw new UsageError(`${where}: a definition is an object with a name, not ${JSON.stringify(value)}`);
    return [{ where, value }];
  });
  if (documents.length === 0) throw new UsageError(`${name} has no definition in it`);
  return documents;
}

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value);
