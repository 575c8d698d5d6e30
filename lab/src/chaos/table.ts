/** docs/chaos.md: the cells and what became of them. */
import { type Cell, cells, links, nameOf, processes, stages } from './cells.ts';
import type { Account } from './judge.ts';

const short = {
  'runs at the source': 'source',
  'runs at the destination': 'destination',
  lost: '**lost**',
  'not settled': '**not settled**',
};

const outcomesOf = (cell: Cell, accounts: readonly Account[]): string => {
  const own = accounts.filter(({ run }) => nameOf(run.cell) === nameOf(cell));
  if (own.length === 0) return '–';
  const counts = new Map<string, number>();
  for (const { outcome, violations } of own) {
    const what = `${short[outcome]}${violations.length > 0 ? ' ✗' : ''}`;
    counts.set(what, (counts.get(what) ?? 0) + 1);
  }
  return [...counts].map(([what, count]) => (count === 1 ? what : `${what} ×${count}`)).join(', ');
};

const rows = (victims: readonly string[], faults: readonly string[], accounts: readonly Account[]): string =>
  stages
    .flatMap((stage) =>
      victims.map((victim) => {
        const columns = faults.map((fault) => {
          const cell = cells.find((each) => each.stage === stage && each.victim === victim && each.fault === fault);
          return cell ? outcomesOf(cell, accounts) : '';
        });
        return `| ${[stage, victim, ...columns].join(' | ')} |`;
      }),
    )
    .join('\n');

const violationOf = ({ run, violations, failure }: Account): string => {
  const told = failure === undefined ? '' : `. The migration's own reason: “${failure}”`;
  return `- ${nameOf(run.cell)} (run ${run.round + 1} of it): ${violations.join('; ')}${told}`;
};

const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[values.length >> 1] ?? 0;

export const render = (accounts: readonly Account[], { seed, minutes }: { readonly seed: number; readonly minutes: number }): string => {
  const violated = accounts.filter(({ violations }) => violations.length > 0);
  const writes = accounts.reduce((sum, { acknowledged }) => sum + acknowledged, 0);
  const held = accounts.filter((account) => account.held).length;
  const lost = accounts.filter(({ outcome }) => outcome === 'lost').length;
  return `${introduction}
## What was seen

${accounts.length} runs of ${cells.length} cells, seed ${seed}, ${minutes.toFixed(0)} minutes (${(median(accounts.map(({ tookMs }) => tookMs)) / 1000).toFixed(1)} s a run in the
middle): **${violated.length} with a violation**. ${lost} times the only current memory was destroyed on purpose, and the VM was reported as lost. In the other
runs the client had ${writes.toLocaleString('en')} writes acknowledged and read back. ${held === 1 ? 'Once' : `${held} times`} a guest whose source's agent was killed ran on in a QEMU that
did not let go of the migration ([ADR 0009](adr/0009-a-qemu-that-does-not-let-go.md)), and was powered off and on before the next run.

“source” and “destination” say where the VM ran in the end; ✗ marks a violation. Killed or stopped processes:

| stage | struck | SIGKILL | SIGSTOP, SIGCONT |
|---|---|---|---|
${rows(processes, ['SIGKILL', 'SIGSTOP'], accounts)}

Links:

| stage | struck | cut | cut one way | slow |
|---|---|---|---|---|
${rows(links, ['cut', 'cut one way', 'slow'], accounts)}
${violated.length === 0 ? '' : `\nViolations:\n\n${violated.map(violationOf).join('\n')}\n`}`;
};

const introduction = `# Chaos: what becomes of a VM when its migration is struck

Written by \`npm run chaos -- --runs 360 --labs 4 --table docs/chaos.md\` (needs root). The code is \`lab/src/chaos/\`; eleven of the cells, with every
stage, victim and kind of fault among them, are run by \`npm test\`.

One guest with Redis and a memory checker moves to and fro between two hosts (network namespaces, real QEMU, one manager), under
emulation. A client outside writes increasing numbers throughout and reads each back. In every run one migration is held at a **stage**, someone is
**struck**, the stage is let go, and after a while (0.1 to 4 s, or 10.5 to 14 s: channels take a peer for dead after 10) what was struck is healed: killed
daemons are started again, stopped processes go on, links are mended. Moments, durations and ends are chosen by the seed alone.

A run is right when, of all this, everything holds:

- never did two QEMUs run the VM at once, by the times of QEMU's own STOP and RESUME events;
- within 150 s after the healing both agents and the manager say that the migration has ended, nobody having been asked to decide;
- exactly one copy runs, where the manager says, and at the destination if and only if its agent journaled RUN and did not give the VM back unrun;
- no acknowledged write is gone, no value is wrong, the memory checker has no complaint;
- its QEMU lets go of the migration within 10 s, so that the VM can move again; not where the source's agent was killed: QEMU 7.2 may not then (ADR 0009);
- nothing is left behind on either host (QEMUs, taps, files, channel sockets, open attempts), and all daemons run;
- where the only current memory was destroyed, none runs, the migration is called \`lost\`, and no older copy was started. (Killed before the source was
  told anything, it is a VM that crashed and a migration that failed; killed after the source heard RUNNING, one that had moved and crashed.)

The only current memory is the source's until the destination has let the VM run, and the destination's from then on. So **lost** is the right
outcome where the source's QEMU is killed before the destination has everything, and where the destination's is killed from “running” on. A source's QEMU that
is killed after the grant is not missed; a destination's that is killed before it ran costs time.

| stage | the moment |
|---|---|
| preparing | the destination's QEMU is there; nothing listens |
| hello | the channels are being opened: what the destination answers is lost meanwhile |
| disk copy | not there: disks do not move yet |
| pre-copy | memory is copied, slowly |
| paused | the VM stands still at the source; nothing has been granted |
| grant sent | GRANT is journaled and on its way, on a line that delays it |
| grant received | GRANT is at the destination, which has not acted on it |
| loaded | the destination's QEMU has everything; RUN is not journaled |
| recorded | RUN is journaled; the destination has not let the VM run yet |
| running | the destination runs the VM, and has told nobody |
| releasing | the source has journaled RUNNING; its QEMU is still there |

Not cells, because they mean nothing: signals to links, and cuts of processes. A cut is at one end of a link, which the seed chooses: both directions of
it, or what comes towards it. For the management link that may be the manager's end, or a host's.
`;
