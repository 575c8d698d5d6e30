import { workerData } from 'node:worker_threads';
import { Gate } from './gate.ts';
import { run, type WorkerBoot } from './loop.ts';

const boot: WorkerBoot = workerData;
run(boot, new Gate((report) => boot.port.postMessage(report)));
