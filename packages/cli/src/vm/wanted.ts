/** What a file wants, beside what is there. */

import { Name, type Vm, type VmDefinition } from '@sealift/contract';
import { Check } from 'typebox/value';
import { UsageError } from '../exit-codes.ts';
import type { Manager } from '../manager/connect.ts';
import { unlessUnknown } from '../manager/unless-unknown.ts';
import { checked, type Draft } from './definition.ts';
import type { Document } from './documents.ts';

export interface Wanted {
  /** Where it is to be created; a VM that is there already stays where it is. */
  readonly host: string | undefined;
  readonly definition: VmDefinition;
  readonly known: Vm | undefined;
}

/** @throws UsageError that names the document and what is wrong with it, before anything is done */
export async function wantedOf(documents: readonly Document[], defaultHost: string | undefined, manager: Manager): Promise<Wanted[]> {
  const names = new Set<string>();
  const all: Wanted[] = [];
  for (const { where, value } of documents) {
    const { host = defaultHost, ...rest } = value;
    // Also the form of the API's order, where the definition is a part of its own.
    const draft = isDraft(rest['definition']) ? rest['definition'] : rest;
    const { name } = draft as { name?: unknown }; // looked at below
    if (typeof name !== 'string' || !Check(Name, name))
      throw new UsageError(`${where}: "name" must be a name: lower-case letters, digits and hyphens, at most 63`);
    if (names.has(name)) throw new UsageError(`${where}: VM ${name} is defined twice`);
    names.add(name);
    if (host !== undefined && (typeof host !== 'string' || !Check(Name, host))) {
      throw new UsageError(`${where}: "host" must be the name of a host`);
    }
    const known = await manager.getVm({ params: { vm: name } }).catch(unlessUnknown);
    if (!known && host === undefined) {
      throw new UsageError(`${where}: VM ${name} is not there yet, and nothing says where to create it: add "host" to it, or --host`);
    }
    const definition = checked(name, known ? withKnownMacs(draft, known.definition) : draft, `${where}: VM ${name}`);
    all.push({ host, definition, known });
  }
  return all;
}

const isDraft = (value: unknown): value is Draft => typeof value === 'object' && value !== null && !Array.isArray(value);

/** A network card whose document gives no address keeps the one that it has, on the same bridge. */
function withKnownMacs(draft: Draft, { nics: known }: VmDefinition): Draft {
  if (!Array.isArray(draft.nics)) return draft;
  const nics = draft.nics.map((nic: { bridge?: unknown; mac?: unknown }, n) => {
    const there = known[n];
    return there && there.bridge === nic?.bridge && nic.mac === undefined ? { ...nic, mac: there.mac } : nic;
  });
  return { ...draft, nics };
}
