/** What may happen at the destination: its agent, its QEMU, its end of the session. */
import { destinationStart } from '../destination.ts';
import { bit, close, dQemu, dRecord, F, fact, hasRun, line, order, said, sQemu, type World, word } from './world.ts';

export function destinationMoves(world: World): void {
  qemuMoves(world);
  lineMoves(world);
  if (!world.is(F.dUp)) {
    const { state, list } = world.restartDestination();
    const next = world.begin();
    next[F.dUp] = 1;
    next[F.dState] = state;
    next[F.dTodo] = list;
    writeHead(world);
    world.done("the destination's agent starts again", true);
    return;
  }
  if (world.options.faults) {
    crash(world);
    world.done("the destination's agent is killed", false);
  }
  if (world.options.repeatedOrders) repeatedOrder(world);
  if (world.is(F.dTodo) === 0) eventMoves(world);
  else effectMoves(world);
}

function crash(world: World): void {
  const next = world.begin();
  next[F.dUp] = 0;
  next[F.dState] = 0;
  next[F.dTodo] = 0;
  next[F.dBits] = 0;
  next[F.dLine] = line.closed;
  next[F.toD] = word.none;
  // The next one asks with a challenge of its own.
  world.unmark(F.said, said.grantedFresh);
  if (hasRun(world.is(F.dJournal))) world.mark(F.facts, fact.blurred);
}

/** The manager orders the attempt once more, before the source has opened a channel. */
function repeatedOrder(world: World): void {
  if (world.options.rules.acceptedOnce || world.destinationAt().at !== 'ended' || world.is(F.dTodo) !== 0) return;
  if (!world.is(F.sUp) || world.sourceAt().at !== 'opening' || world.is(F.sLine) !== line.open) return;
  const next = world.begin();
  next[F.dState] = world.destination.number(destinationStart);
  next[F.dJournal] = dRecord('prepared');
  next[F.dQemu] = dQemu.loading;
  next[F.dLine] = line.open;
  next[F.dFiles] = 1;
  world.done('the destination accepts the attempt again', false);
}

/** The agent takes an event: false where it means nothing. */
export function destinationTakes(world: World, event: string): boolean {
  const { next, destination } = world;
  const turn = destination.turn(next[F.dState] ?? 0, event);
  if (turn.idle) return false;
  next[F.dState] = turn.state;
  next[F.dTodo] = turn.list;
  return true;
}

function writeHead(world: World): void {
  const { next, destination } = world;
  for (let head = destination.head(next[F.dTodo] ?? 0); head?.startsWith('journal '); head = destination.head(next[F.dTodo] ?? 0)) {
    next[F.dJournal] = dRecord(head.slice(8));
    if (head.startsWith('journal ended')) hangUp(world);
    next[F.dTodo] = destination.tail(next[F.dTodo] ?? 0);
  }
}

/** As at the source. */
function refuseHead(world: World): boolean {
  const { next, destination } = world;
  const head = destination.head(next[F.dTodo] ?? 0);
  if (!head?.startsWith('journal ')) return false;
  next[F.dTodo] = destination.tail(next[F.dTodo] ?? 0);
  if (head.startsWith('journal ended')) hangUp(world);
  if (world.options.rules.required.has(head.slice(8))) {
    next[F.dTodo] = 0;
    if (hasRun(next[F.dJournal])) world.mark(F.facts, fact.blurred);
    destinationTakes(world, 'journal-failed');
    while (refuseHead(world));
  }
  return true;
}

function hangUp({ next }: World): void {
  next[F.dLine] = line.closed;
  next[F.toD] = word.none;
}

export function destinationEvent(world: World, event: string, prepare: (next: Uint8Array) => void, heals: boolean): void {
  const happen = (): boolean => {
    prepare(world.begin());
    return destinationTakes(world, event);
  };
  const meant = happen();
  if (!meant && world.next.every((value, i) => value === world.now[i])) return;
  const head = world.destination.head(world.next[F.dTodo] ?? 0);
  writeHead(world);
  world.done(`the destination: ${event}`, heals);
  if (!world.options.faults || !meant || !head?.startsWith('journal ')) return;
  happen();
  refuseHead(world);
  world.done(`the destination: ${event}, and its journal takes no "${head.slice(8)}"`, false);
}

const nothing = (): void => undefined;

/** By post-copy, all but memory is there. */
const drawn: readonly number[] = [dQemu.drawing, dQemu.partial, dQemu.loaded, dQemu.active];

function eventMoves(world: World): void {
  const { faults, rules } = world.options;
  const state = world.destinationAt();
  const qemu = world.is(F.dQemu);
  const own = (flag: number, event: string): void => {
    if (world.has(F.dBits, flag)) destinationEvent(world, event, () => world.unmark(F.dBits, flag), true);
  };
  const heard = world.is(F.toD) & 3;
  const unheard = (next: Uint8Array): void => {
    next[F.toD] = world.is(F.toD) >> 2;
  };
  if (heard === word.grant) destinationEvent(world, world.is(F.postcopy) ? 'grant:postcopy' : 'grant:whole', unheard, true);
  if (heard === word.grantOfLess) destinationEvent(world, 'grant:less', unheard, true);
  if (heard === word.aborted) destinationEvent(world, 'aborted', unheard, true);
  if (world.is(F.dLine) === line.open) {
    const closed = world.is(F.close);
    const all = qemu === dQemu.full || qemu === dQemu.loaded || qemu === dQemu.active;
    const taken = (next: Uint8Array): void => {
      next[F.close] = close.heard;
    };
    if (closed === close.whole && all) destinationEvent(world, 'delivered:whole', taken, true);
    if (closed === close.cut || (closed === close.whole && qemu === dQemu.junk)) destinationEvent(world, 'delivered:less', taken, true);
  }
  // QEMU's events come in order, and stay said.
  if (world.is(F.postcopy) && drawn.includes(qemu)) destinationEvent(world, 'drawing', nothing, true);
  const here = qemu === dQemu.loaded || (qemu === dQemu.active && world.is(F.postcopy) === 1);
  if (here || qemu === dQemu.junk) destinationEvent(world, 'loaded', nothing, true);
  own(bit.failed, qemu === dQemu.stuck || isStarved(world) ? 'qemu-failed' : 'failed');
  // A deadline is certain to pass once there is a grant; before it, only a person cancels.
  if (faults) destinationEvent(world, 'cancel', nothing, state.at === 'receiving' && state.grant !== undefined);
  if (qemu === dQemu.gone && state.at !== 'running') destinationEvent(world, 'vm-gone', nothing, true);
  own(bit.lost, 'vm-gone');
  own(bit.done, state.at === 'discarding' || state.at === 'losing' ? 'discarded' : 'runs');
  own(bit.refused, 'would-not-run');
  own(bit.starved, 'starved');
  if (rules.doubtAsks && world.has(F.said, said.abortedByS)) destinationEvent(world, 'aborted', nothing, true);
  const cleared = world.has(F.said, rules.onlyFreshClears ? said.grantedFresh : said.grantedBefore);
  if (rules.doubtAsks && cleared) destinationEvent(world, 'cleared', nothing, true);
}

function effectMoves(world: World): void {
  const { destination } = world;
  const list = world.is(F.dTodo);
  const effect = destination.head(list) ?? '';
  const next = world.begin();
  next[F.dTodo] = destination.tail(list);
  const spoken = next[F.sLine] !== line.closed && next[F.dLine] !== line.closed;
  const qemu = next[F.dQemu];
  switch (effect) {
    case 'find-out':
      if (qemu !== dQemu.active) break;
      // A VM that was paused before the migration does not show whether it was let go.
      world.done('the destination finds out nothing: the VM was a paused one', true);
      world.mark(F.dBits, bit.done);
      break;
    case 'find out what is missing':
      // With every page there it says `loaded`.
      if (qemu === dQemu.drawing) world.mark(F.dBits, bit.refused);
      else if (qemu === dQemu.partial) world.mark(F.dBits, bit.starved);
      break;
    case 'say-running':
      if (spoken) world.say(F.toS, word.running);
      break;
    case 'run':
      if (qemu === dQemu.gone) {
        world.mark(F.dBits, bit.refused);
        break;
      }
      if (qemu !== dQemu.active && qemu !== dQemu.loaded && qemu !== dQemu.drawing)
        world.wrong = 'the destination runs what is not the VM, or not all of it';
      next[F.dQemu] = qemu === dQemu.drawing ? dQemu.partial : dQemu.active;
      world.mark(F.facts, fact.ran);
      next[F.dTodo] = destination.instead(list, 'report runs');
      break;
    case 'report runs':
      if (qemu === dQemu.gone) {
        world.mark(F.dBits, bit.lost);
        world.done('the destination sees its QEMU end as it is let go', true);
        world.unmark(F.dBits, bit.lost);
      }
      world.mark(F.dBits, bit.done);
      break;
    case 'settle-in':
      if (spoken) world.say(F.toS, word.running);
      break;
    case 'end-vm':
      if (qemu === dQemu.partial) {
        // What it waits for will not come: its line has died, or the source's end of it has.
        if (next[F.dLine] === line.open && next[F.close] !== close.cut && next[F.close] !== close.heard)
          world.wrong = 'the destination ends a VM whose pages may still come';
        next[F.dQemu] = dQemu.gone;
        world.mark(F.facts, fact.died);
      } else if (qemu === dQemu.active)
        break; // and says `loaded`
      else if (qemu !== dQemu.gone) world.wrong = 'the destination ends a VM that is there';
      if (world.destinationAt().at === 'losing') world.mark(F.dBits, bit.done);
      break;
    case 'discard':
      judgeDiscard(world);
      next[F.dQemu] = dQemu.gone;
      next[F.dTodo] = destination.instead(list, 'remove files');
      break;
    case 'remove files':
      next[F.dFiles] = 0;
      world.mark(F.dBits, bit.done);
      break;
    case 'abort-channels':
      if (spoken) world.say(F.toS, word.aborted);
      hangUp(world);
      break;
    default:
      recordMoves(world, effect);
      return;
  }
  world.done(`the destination does: ${effect}`, true);
  if (effect !== 'run' || !world.options.faults || (qemu !== dQemu.loaded && qemu !== dQemu.drawing)) return;
  world.begin()[F.dTodo] = destination.tail(list);
  world.mark(F.dBits, bit.refused);
  world.done("the destination's QEMU refuses to run the VM", false);
}

function recordMoves(world: World, effect: string): void {
  const { next } = world;
  next[F.dTodo] = world.is(F.dTodo);
  writeHead(world);
  world.done(`the destination does: ${effect}`, true);
  if (!world.options.faults) return;
  world.begin();
  refuseHead(world);
  world.done(`the destination: its journal takes no "${effect.slice(8)}"`, false);
}

function judgeDiscard(world: World): void {
  if (world.is(F.dQemu) === dQemu.gone) return; // it is gone already, by itself or by the first try
  if (world.is(F.sQemu) === sQemu.released) world.wrong = 'both copies are destroyed';
  if (world.has(F.facts, fact.ran) && world.is(F.order) !== order.source) world.wrong = 'the destination discards the current memory';
}

function qemuMoves(world: World): void {
  const qemu = world.is(F.dQemu);
  const { faults } = world.options;
  const fed = world.is(F.sent) === 1 && world.is(F.dLine) === line.open;
  const become = (state: number, what: string, heals: boolean): void => {
    world.begin()[F.dQemu] = state;
    world.done(what, heals);
  };
  const drawing = world.is(F.dLine) === line.open && world.is(F.postcopy) === 1;
  if (qemu === dQemu.loading && drawing) become(dQemu.drawing, 'all but memory is with the QEMU of the destination', true);
  if (qemu === dQemu.drawing && fed) become(dQemu.loaded, 'every page is with the QEMU of the destination', true);
  if (qemu === dQemu.partial && fed) become(dQemu.active, 'every page is with the QEMU of the destination', true);
  if (isStarved(world) && world.is(F.dUp) && !world.has(F.dBits, bit.failed)) {
    world.begin();
    world.mark(F.dBits, bit.failed);
    world.done("the destination's QEMU waits for pages that do not come", true);
  }
  if (qemu === dQemu.loading && fed && !world.is(F.postcopy)) {
    become(dQemu.full, 'every byte is with the QEMU of the destination', true);
    if (faults && world.options.strangeStreams) become(dQemu.junk, "the destination's QEMU loads another stream", false);
  }
  if (qemu === dQemu.full) become(dQemu.loaded, "the destination's QEMU has loaded", true);
  if (faults && (qemu === dQemu.loading || qemu === dQemu.full)) {
    world.begin()[F.dQemu] = dQemu.stuck;
    world.done("the destination's QEMU hangs while it loads", false);
    world.begin()[F.dQemu] = dQemu.stuck;
    if (world.is(F.dUp)) world.mark(F.dBits, bit.failed);
    world.done("the destination's QEMU fails to load", false);
  }
  if (faults && qemu !== dQemu.gone) {
    world.begin()[F.dQemu] = dQemu.gone;
    world.mark(F.facts, fact.died);
    world.done("the destination's QEMU is killed", false);
  }
}

/** By post-copy, the stream that pages come by has ended before the last one. */
function isStarved(world: World): boolean {
  const qemu = world.is(F.dQemu);
  const ended = world.is(F.close) === close.cut || world.is(F.close) === close.heard;
  return (qemu === dQemu.drawing || qemu === dQemu.partial) && !world.is(F.sent) && ended;
}

function lineMoves(world: World): void {
  const mine = world.is(F.dLine);
  const other = world.is(F.sLine);
  const { faults } = world.options;
  if (mine === line.open && (faults || other !== line.open)) {
    world.begin()[F.dLine] = line.control;
    world.mark(F.dBits, bit.failed);
    world.done('the destination sees a data channel fail', other !== line.open);
  }
  if (mine !== line.closed && (faults || other === line.closed || mine === line.control)) {
    world.begin();
    hangUp(world);
    if (mine === line.open) world.mark(F.dBits, bit.failed);
    world.done('the destination loses the session', mine === line.control || other === line.closed);
  }
}
