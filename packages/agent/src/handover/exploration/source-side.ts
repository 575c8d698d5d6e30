/** What may happen at the source: its agent, its QEMU, its end of the session. */
import { bit, close, dQemu, F, fact, isLost, line, order, said, sQemu, sRecord, type World, word } from './world.ts';

export function sourceMoves(world: World): void {
  qemuMoves(world);
  lineMoves(world);
  if (!world.is(F.sUp)) {
    const { state, list } = world.restartSource();
    const next = world.begin();
    next[F.sUp] = 1;
    next[F.sState] = state;
    next[F.sTodo] = list;
    writeHead(world);
    world.done("the source's agent starts again", true);
    return;
  }
  if (world.options.faults) {
    crash(world);
    world.done("the source's agent is killed", false);
  }
  if (world.is(F.sTodo) === 0) eventMoves(world);
  else effectMoves(world);
}

function crash(world: World): void {
  const next = world.begin();
  next[F.sUp] = 0;
  next[F.sState] = 0;
  next[F.sTodo] = 0;
  next[F.sBits] = 0;
  next[F.sLine] = line.closed;
  next[F.toS] = word.none;
}

/** The agent takes an event: false where it means nothing. */
export function sourceTakes(world: World, event: string): boolean {
  const { next, source } = world;
  const turn = source.turn(next[F.sState] ?? 0, event);
  if (turn.idle) return false;
  next[F.sState] = turn.state;
  next[F.sTodo] = turn.list;
  return true;
}

/** Writes the record that a turn begins with. */
function writeHead(world: World): void {
  const { next, source } = world;
  for (let head = source.head(next[F.sTodo] ?? 0); head?.startsWith('journal '); head = source.head(next[F.sTodo] ?? 0)) {
    next[F.sJournal] = sRecord(head.slice(8));
    if (head.startsWith('journal ended')) hangUp(world);
    next[F.sTodo] = source.tail(next[F.sTodo] ?? 0);
  }
}

/** The journal takes no record: what follows it is left out, unless it is one that may be. */
function refuseHead(world: World): boolean {
  const { next, source } = world;
  const head = source.head(next[F.sTodo] ?? 0);
  if (!head?.startsWith('journal ')) return false;
  next[F.sTodo] = source.tail(next[F.sTodo] ?? 0);
  if (head.startsWith('journal ended')) hangUp(world);
  if (world.options.rules.required.has(head.slice(8))) {
    next[F.sTodo] = 0;
    sourceTakes(world, 'journal-failed');
    while (refuseHead(world));
  }
  return true;
}

/** Ended: the session is dropped. */
function hangUp({ next }: World): void {
  next[F.sLine] = line.closed;
  next[F.toS] = word.none;
}

/** @param prepare what happens besides @param heals whether it is certain to come */
export function sourceEvent(world: World, event: string, prepare: (next: Uint8Array) => void, heals: boolean): void {
  const happen = (): boolean => {
    prepare(world.begin());
    return sourceTakes(world, event);
  };
  const meant = happen();
  // A repeat of what stays is no step; what is used up by it is.
  if (!meant && world.next.every((value, i) => value === world.now[i])) return;
  const head = world.source.head(world.next[F.sTodo] ?? 0);
  writeHead(world);
  world.done(`the source: ${event}`, heals);
  if (!world.options.faults || !meant || !head?.startsWith('journal ')) return;
  happen();
  refuseHead(world);
  world.done(`the source: ${event}, and its journal takes no "${head.slice(8)}"`, false);
}

const nothing = (): void => undefined;

function eventMoves(world: World): void {
  const { faults, rules } = world.options;
  const at = world.sourceAt().at;
  const qemu = world.is(F.sQemu);
  const own = (flag: number, event: string): void => {
    if (world.has(F.sBits, flag)) sourceEvent(world, event, () => world.unmark(F.sBits, flag), true);
  };
  if (world.is(F.sLine) === line.open && world.is(F.dLine) === line.open) sourceEvent(world, 'confirmed', nothing, true);
  if (qemu === sQemu.preSwitchover) sourceEvent(world, 'pre-switchover', nothing, true);
  // QEMU's events come in order.
  const toPostcopy = world.is(F.postcopy) === 1 && at === 'switching';
  if (toPostcopy && qemu !== sQemu.gone) sourceEvent(world, 'postcopy-active', nothing, true);
  if (qemu === sQemu.completed && !toPostcopy) sourceEvent(world, 'completed', nothing, true);
  own(bit.endedWhole, 'local-ended:whole');
  own(bit.endedCut, 'local-ended:less');
  own(bit.failed, 'failed');
  if (faults) sourceEvent(world, 'cancel', nothing, true);
  if (qemu === sQemu.gone || qemu === sQemu.released) sourceEvent(world, 'vm-gone', nothing, true);
  own(bit.done, at === 'releasing' ? 'released' : 'resumed');
  const heard = world.is(F.toS) & 3;
  const unheard = (next: Uint8Array): void => {
    next[F.toS] = world.is(F.toS) >> 2;
  };
  if (heard !== word.none) sourceEvent(world, heard === word.running ? 'running' : 'aborted', unheard, true);
  const asks = rules.doubtAsks;
  const forged = !rules.statementsAreChecked;
  if ((asks && world.has(F.said, said.running)) || forged) sourceEvent(world, 'running', nothing, true);
  if ((asks && world.has(F.said, said.abortedByD)) || forged) sourceEvent(world, 'aborted', nothing, true);
}

/** Does, or half does, the first thing that is to be done. */
function effectMoves(world: World): void {
  const { source } = world;
  const list = world.is(F.sTodo);
  const effect = source.head(list) ?? '';
  const next = world.begin();
  next[F.sTodo] = source.tail(list);
  const spoken = next[F.sLine] !== line.closed && next[F.dLine] !== line.closed;
  switch (effect) {
    case 'migrate':
      if (next[F.sQemu] === sQemu.idle && next[F.sLine] === line.open) next[F.sQemu] = sQemu.copy;
      else world.mark(F.sBits, bit.failed);
      break;
    case 'continue':
      if (next[F.sQemu] === sQemu.preSwitchover) next[F.sQemu] = sQemu.device;
      else world.mark(F.sBits, bit.failed);
      break;
    case 'grant-postcopy':
      if (spoken) world.say(F.toD, word.grant);
      break;
    case 'grant:whole':
    case 'grant:less':
      if (spoken) world.say(F.toD, effect === 'grant:whole' ? word.grant : word.grantOfLess);
      break;
    case 'say-aborted':
    case 'drop-channels':
      if (spoken) world.say(F.toD, word.aborted);
      if (effect === 'drop-channels') hangUp(world);
      break;
    case 'resume':
      // With QEMU gone, `vm-gone` comes in place of `resumed`.
      if (next[F.sQemu] === sQemu.gone || next[F.sQemu] === sQemu.released) break;
      if (next[F.sQemu] === sQemu.feeding) {
        next[F.sQemu] = sQemu.gone;
        world.done('the source ends a QEMU that does not come out of post-copy', true);
        world.begin()[F.sTodo] = source.tail(list);
      }
      next[F.sQemu] = sQemu.idle;
      next[F.sTodo] = source.instead(list, 'report resumed');
      break;
    case 'release':
      judgeRelease(world);
      next[F.sQemu] = sQemu.released;
      next[F.sTodo] = source.instead(list, 'remove files');
      break;
    case 'remove files':
      next[F.sFiles] = 0;
      world.mark(F.sBits, bit.done);
      break;
    case 'report resumed':
      world.mark(F.sBits, bit.done);
      break;
    case 'close-channels':
      hangUp(world);
      break;
    case 'hold':
      break;
    default:
      recordMoves(world, effect);
      return;
  }
  world.done(`the source does: ${effect}`, true);
}

function recordMoves(world: World, effect: string): void {
  const { next } = world;
  next[F.sTodo] = world.is(F.sTodo);
  writeHead(world);
  world.done(`the source does: ${effect}`, true);
  if (!world.options.faults) return;
  world.begin();
  refuseHead(world);
  world.done(`the source: its journal takes no "${effect.slice(8)}"`, false);
}

function judgeRelease(world: World): void {
  const owned = world.has(F.facts, fact.ran) || world.is(F.order) === order.destination;
  const lost = isLost(world.is(F.facts), world.is(F.order));
  if (!owned && !lost) world.wrong = "the source's memory is released before the destination owns the VM";
  else if (world.is(F.dQemu) === dQemu.gone && !lost) world.wrong = 'both copies are destroyed';
  else if (world.is(F.dQemu) === dQemu.partial && world.is(F.sLine) === line.open && world.is(F.dLine) === line.open)
    world.wrong = 'the source is released while pages are still drawn from it';
}

function qemuMoves(world: World): void {
  const qemu = world.is(F.sQemu);
  const { faults } = world.options;
  const open = world.is(F.sLine) === line.open;
  const become = (state: number, what: string, heals: boolean): void => {
    world.begin()[F.sQemu] = state;
    world.done(what, heals);
  };
  if (open && qemu === sQemu.copy) become(sQemu.preSwitchover, "the source's QEMU stops the VM", true);
  if (open && qemu === sQemu.device && !world.is(F.sent)) {
    world.begin()[F.sent] = 1;
    world.done("the source's QEMU has written the last byte", true);
  }
  if (world.options.postcopy && open && qemu === sQemu.device && !world.is(F.sent)) {
    const next = world.begin();
    next[F.sQemu] = sQemu.feeding;
    next[F.postcopy] = 1;
    world.done("the source's QEMU goes over to post-copy", false);
  }
  if (open && qemu === sQemu.feeding && !world.is(F.sent)) {
    world.begin()[F.sent] = 1;
    world.done("the source's QEMU has sent the last page", true);
  }
  // The destination's tells it that every page is there.
  const all = world.is(F.dQemu) === dQemu.loaded || world.is(F.dQemu) === dQemu.active;
  if (open && world.is(F.dLine) === line.open && qemu === sQemu.feeding && all)
    become(sQemu.completed, "the source's QEMU has completed", true);
  if (world.is(F.sent) && qemu === sQemu.device) become(sQemu.completed, "the source's QEMU has completed", true);
  const ending = qemu === sQemu.device || qemu === sQemu.completed || qemu === sQemu.gone;
  if (open && world.is(F.sent) && ending && world.is(F.close) === close.none) {
    world.begin()[F.close] = close.whole;
    world.mark(F.sBits, bit.endedWhole);
    world.done("the source's local streams end, CLOSE is queued", true);
  }
  if (qemu === sQemu.copy || qemu === sQemu.preSwitchover || qemu === sQemu.device) {
    if (faults || !open) {
      const next = world.begin();
      next[F.sQemu] = sQemu.idle;
      if (next[F.sUp]) world.mark(F.sBits, bit.failed);
      if (open && next[F.close] === close.none) {
        next[F.close] = close.cut;
        world.mark(F.sBits, bit.endedCut);
      }
      world.done("the source's QEMU fails its migration and lets the VM run on", !open);
    }
  }
  if (faults && qemu !== sQemu.gone && qemu !== sQemu.released && (!world.is(F.sUp) || world.sourceAt().at !== 'ended')) {
    const next = world.begin();
    next[F.sQemu] = sQemu.gone;
    // Its sockets end; what it had written before is still read from them.
    if (open && !next[F.sent] && next[F.close] === close.none) {
      next[F.close] = close.cut;
      world.mark(F.sBits, bit.endedCut);
    }
    world.done("the source's QEMU is killed", false);
  }
}

/** A line dies at each end by itself. What is on its way may still come, or not. */
function lineMoves(world: World): void {
  const mine = world.is(F.sLine);
  const other = world.is(F.dLine);
  const { faults } = world.options;
  if (mine === line.open && (faults || other !== line.open)) {
    world.begin()[F.sLine] = line.control;
    world.mark(F.sBits, bit.failed);
    world.done('the source sees a data channel fail', other !== line.open);
  }
  if (mine !== line.closed && (faults || other === line.closed || mine === line.control)) {
    world.begin();
    hangUp(world);
    if (mine === line.open) world.mark(F.sBits, bit.failed);
    world.done('the source loses the session', mine === line.control || other === line.closed);
  }
}
