/** The options that say how a VM is defined, for creating it and for changing it. */
import { type Command, Option } from 'commander';
import { atLeastOne, collect } from '../options.ts';

export const addDefinitionOptions = (command: Command, { asks }: { readonly asks: 'create' | 'set' }): Command =>
  command
    .option('--memory <MiB>', `memory${asks === 'create' ? ' (default: 512)' : ''}`, atLeastOne)
    .option('--vcpus <n>', `virtual CPUs${asks === 'create' ? ' (default: 1)' : ''}`, atLeastOne)
    .option('--cpu-model <model>', "QEMU's -cpu; the same on every host it may move to")
    .option('--machine <type>', "QEMU's versioned machine type, such as pc-q35-7.2")
    .option('--kernel <path>', 'boot this kernel of the host directly')
    .option('--initrd <path>', 'with this initial RAM disk')
    .option('--cmdline <text>', 'and this command line')
    .option(
      '--disk <disk>',
      'a disk: PATH[,format=raw|qcow2][,shared] is a file of the host, pool=POOL,size=SIZE[,name=NAME][,image=IMAGE[,clone]][,format=raw][,shared] is made ' +
        `in a pool; repeatable${several(asks)}`,
      collect,
    )
    .option('--user-data <file>', 'for cloud-init: the VM gets a seed with this user-data (16 KiB at most)')
    .option('--meta-data <file>', "in the seed (default: the VM's name)")
    .option('--network-config <file>', 'in the seed')
    .option(
      '--nic <bridge[,mac=address]>',
      `a network card on a bridge of the host; repeatable${several(asks)}. Its MAC follows from the name`,
      collect,
    )
    .addOption(
      new Option('--encryption <mode>', "of its migrations; default is the cluster's").choices([
        'disabled',
        'opportunistic',
        'required',
        'default',
      ]),
    );

const several = (asks: 'create' | 'set'): string => (asks === 'set' ? ', in place of all that there are' : '');
