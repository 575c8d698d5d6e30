/**
 * The lab's network, derived from the lab's id alone. Every box is a network namespace; nothing is added to the root namespace.
 *
 *                 ┌──────────────── sl-ID-switch ─────────────────┐
 *                 │  bridge mgmt      bridge vm     bridge mig    │
 *                 └─┬────┬────┬────────┬──┬───┬───────┬───┬───────┘
 *  sl-ID-manager    │    │    │        │  │   │       │   │
 *  mgmt0 10.77.0.1 ─┘    │    │        │  │   │       │   │
 *                        │    │        │  │   │       │   │
 *  sl-ID-alpha           │    │        │  │   │       │   │
 *  mgmt0 10.77.0.11 ─────┘    │        │  │   │       │   │
 *  mig0  10.77.2.11 ──────────│────────│──│───│───────┘   │
 *  br0 ── vm0 ────────────────│────────┘  │   │           │
 *   └ taps of its VMs         │           │   │           │
 *                             │           │   │           │
 *  sl-ID-bravo                │           │   │           │
 *  mgmt0 10.77.0.12 ──────────┘           │   │           │
 *  mig0  10.77.2.12 ──────────────────────│───│───────────┘
 *  br0 ── vm0 ────────────────────────────┘   │
 *   └ taps of its VMs                         │
 *                                             │
 *  sl-ID-client                               │
 *  vm0   10.77.1.1 ───────────────────────────┘      guests: 10.77.1.100 and up
 *
 * In the switch, the port of network N that leads to box B is called `N-B`.
 */

export const networks = ['mgmt', 'vm', 'mig'] as const;
export type Network = (typeof networks)[number];

export interface Port {
  readonly network: Network;
  /** The interface's name inside the box. */
  readonly name: string;
  /** With the length of the prefix; without one, the interface is joined to the bridge. */
  readonly address?: string;
  /** The bridge inside the box that the interface is joined to. */
  readonly bridge?: string;
}

export interface Box {
  readonly name: string;
  readonly namespace: string;
  readonly ports: readonly Port[];
}

export interface Host extends Box {
  /** Where its agent answers the manager. */
  readonly agentEndpoint: string;
  /** Where sealed channels come in. */
  readonly migrationEndpoint: string;
}

export interface Plan {
  readonly switch: string;
  readonly manager: Box;
  readonly client: Box;
  readonly hosts: readonly Host[];
}

/** Of a lab that is not told otherwise. */
export const hostNames = ['alpha', 'bravo'] as const;

/** The network that guests are on: a guest's address, with the length of the prefix. */
export const guestAddress = (index: number): string => `10.77.1.${100 + index}/24`;

/** The network namespace of one of the lab's boxes. */
export const namespaceOf = (id: string, box: string): string => `sl-${id}-${box}`;

/** The switch's port of a network that leads to a box. */
export const switchPort = (network: Network, box: string): string => `${network}-${box}`;

/** @param hosts their names, at most 80: addresses count up from the first */
export const planOf = (id: string, hosts: readonly string[] = hostNames): Plan => ({
  switch: namespaceOf(id, 'switch'),
  manager: {
    name: 'manager',
    namespace: namespaceOf(id, 'manager'),
    ports: [{ network: 'mgmt', name: 'mgmt0', address: '10.77.0.1/24' }],
  },
  client: { name: 'client', namespace: namespaceOf(id, 'client'), ports: [{ network: 'vm', name: 'vm0', address: '10.77.1.1/24' }] },
  hosts: hosts.map((name, index) => ({
    name,
    namespace: namespaceOf(id, name),
    ports: [
      { network: 'mgmt', name: 'mgmt0', address: `10.77.0.${11 + index}/24` },
      { network: 'mig', name: 'mig0', address: `10.77.2.${11 + index}/24` },
      { network: 'vm', name: 'vm0', bridge: 'br0' },
    ],
    agentEndpoint: `10.77.0.${11 + index}:8652`,
    migrationEndpoint: `10.77.2.${11 + index}:8651`,
  })),
});

/** All boxes that hang on the switch. */
export const boxesOf = (plan: Plan): readonly Box[] => [plan.manager, plan.client, ...plan.hosts];

/** All namespaces of a lab. */
export const namespacesOf = (plan: Plan): readonly string[] => [plan.switch, ...boxesOf(plan).map((box) => box.namespace)];
