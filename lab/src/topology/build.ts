/** Builds the network of plan.ts, and takes it down again. */
import { run } from '../system/command.ts';
import { endProcesses, type ProcessId, processId } from '../system/process.ts';
import { type Box, boxesOf, namespacesOf, networks, type Plan, switchPort } from './plan.ts';

/**
 * @throws CommandError when a namespace of that name is there already, or without root; what was built until then is
 *   taken down again only by {@link removeTopology}
 */
export const buildTopology = async (plan: Plan): Promise<void> => {
  for (const namespace of namespacesOf(plan)) await addNamespace(namespace);
  for (const network of networks) await addBridge(plan.switch, network);
  for (const box of boxesOf(plan)) await addBox(plan, box);
};

/** Removes the plan's namespaces with every process and interface in them. Does nothing where nothing is. */
export const removeTopology = async (plan: Plan): Promise<void> => {
  const present = await presentNamespaces(plan);
  // A namespace lives on, nameless, as long as a process is in it: so these go first.
  await endProcesses((await Promise.all(present.map(processesIn))).flat());
  for (const namespace of present) await run('ip', ['netns', 'delete', namespace]);
};

/** Those of the plan's namespaces that are there. */
export const presentNamespaces = async (plan: Plan): Promise<readonly string[]> => {
  const listed: unknown = JSON.parse((await run('ip', ['-json', 'netns', 'list'])) || '[]');
  const names = new Set(Array.isArray(listed) ? listed.map((entry: { name?: unknown }) => entry.name) : []);
  return namespacesOf(plan).filter((namespace) => names.has(namespace));
};

const processesIn = async (namespace: string): Promise<readonly ProcessId[]> =>
  (await run('ip', ['netns', 'pids', namespace]))
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => processId(Number(line)))
    .filter((id) => id !== undefined);

const addNamespace = async (namespace: string): Promise<void> => {
  await run('ip', ['netns', 'add', namespace]);
  // Duplicate address detection and router solicitations would be noise in every capture.
  const quiet = 'for which in all default; do echo 1 > /proc/sys/net/ipv6/conf/$which/disable_ipv6; done';
  await run('ip', ['netns', 'exec', namespace, 'sh', '-c', quiet]);
  await run('ip', ['-n', namespace, 'link', 'set', 'lo', 'up']);
};

const addBridge = async (namespace: string, bridge: string): Promise<void> => {
  // Without spanning tree and forward delay a port forwards at once, as a guest that arrives needs it.
  const options = ['stp_state', '0', 'forward_delay', '0', 'mcast_snooping', '0'];
  await run('ip', ['-n', namespace, 'link', 'add', bridge, 'type', 'bridge', ...options]);
  await run('ip', ['-n', namespace, 'link', 'set', bridge, 'up']);
};

const addBox = async (plan: Plan, box: Box): Promise<void> => {
  for (const port of box.ports) {
    const far = switchPort(port.network, box.name);
    const inBox = ['-n', box.namespace];
    // Both ends are made inside their namespaces: there is never one in the root namespace.
    await run('ip', [...inBox, 'link', 'add', port.name, 'mtu', '1500', 'type', 'veth', 'peer', 'name', far, 'netns', plan.switch]);
    await run('ip', ['-n', plan.switch, 'link', 'set', far, 'master', port.network, 'mtu', '1500', 'up']);
    if (port.address !== undefined) await run('ip', [...inBox, 'address', 'add', port.address, 'dev', port.name]);
    if (port.bridge !== undefined) {
      await addBridge(box.namespace, port.bridge);
      await run('ip', [...inBox, 'link', 'set', port.name, 'master', port.bridge]);
    }
    await run('ip', [...inBox, 'link', 'set', port.name, 'up']);
  }
};
