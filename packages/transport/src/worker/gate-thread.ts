import { workerData } from 'node:worker_threads';
import { Gate } from './gate.ts';
import { begin, run, type WorkerBoot } from './loop.ts';

const boot: WorkerBoot = workerData;
begin(boot);
run(boot, new Gate((report) => boot.port.postMessage(report)));
