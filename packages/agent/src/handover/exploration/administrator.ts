/**
 * An administrator's decision, once for an attempt, and carried to each host as often as it takes.
 *
 * Assumed of who decides. For the source: it answers and is in doubt, and when it takes the decision the destination's agent is down and the
 * VM has not been let go there. For the destination: its QEMU has been let go, by post-copy with every page there, or RUN is in its journal, not by
 * post-copy; it is told first wherever it answers.
 */
import { destinationEvent } from './destination-side.ts';
import { sourceEvent } from './source-side.ts';
import { dQemu, dRecord, F, hasRun, order, sRecord, type World } from './world.ts';

export function administratorMoves(world: World): void {
  const decided = world.is(F.order);
  if (decided !== order.destination && mayKeepSource(world)) tell(world, order.source);
  if (decided !== order.source && mayKeepDestination(world)) tell(world, order.destination);
}

function tell(world: World, keep: number): void {
  const first = world.is(F.order) === order.none;
  const decide = (next: Uint8Array): void => {
    next[F.order] = keep;
  };
  const forSource = keep === order.source;
  if (world.is(F.dUp) && world.is(F.dTodo) === 0 && destinationMayHear(world, keep)) {
    destinationEvent(world, forSource ? 'drop' : 'keep', decide, !first);
  }
  if (world.is(F.sUp) && world.is(F.sTodo) === 0 && sourceMayHear(world, keep)) {
    sourceEvent(world, forSource ? 'keep' : 'drop', decide, !first);
  }
}

const runsAtDestination = (world: World): boolean => world.is(F.dQemu) === dQemu.active || world.is(F.dQemu) === dQemu.partial;

/** The migration is in doubt. */
const inDoubt = (world: World): boolean => !world.is(F.sUp) || world.sourceAt().at === 'in-doubt';

/** Only while the source answers: nothing could be let run there otherwise, and nobody could say what has become of it. */
const mayKeepSource = (world: World): boolean => world.is(F.order) === order.source || (world.is(F.sUp) === 1 && inDoubt(world));

/** While the destination answers there is nothing to decide for the source: the two settle it. It is told once the source has taken it. */
function destinationMayHear(world: World, keep: number): boolean {
  const record = world.is(F.sJournal);
  const taken = record === sRecord('resuming') || record === sRecord('ended:kept') || record === sRecord('ended:lost');
  return keep === order.destination || taken;
}

function mayKeepDestination(world: World): boolean {
  if (world.is(F.order) === order.destination) return true;
  const record = world.is(F.dJournal);
  const runs = world.is(F.dQemu) === dQemu.active || record === dRecord('ended:arrived');
  const owns = runs || (world.is(F.postcopy) === 0 && hasRun(record));
  return inDoubt(world) && owns;
}

/** The source gives up, or goes on, only when the destination has done its part, or cannot. */
function sourceMayHear(world: World, keep: number): boolean {
  const state = world.destinationAt();
  const { at } = state;
  const idle = world.is(F.dTodo) === 0;
  if (keep === order.destination) {
    if (!world.is(F.dUp)) return true;
    const has = at === 'running' ? state.sole : at === 'ended' && state.outcome !== 'discarded';
    return idle && has && world.is(F.order) === order.destination;
  }
  const runs = runsAtDestination(world);
  if (world.options.administrator === 'hasty') return !runs;
  return !runs && !world.is(F.dUp);
}
