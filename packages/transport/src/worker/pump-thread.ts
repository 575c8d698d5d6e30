import { workerData } from 'node:worker_threads';
import { begin, run, type WorkerBoot } from './loop.ts';
import { Pump } from './pump.ts';

const boot: WorkerBoot = workerData;
begin(boot);
run(boot, new Pump((report) => boot.port.postMessage(report)));
