/** `sealift completion` */
import { Argument, type Command } from 'commander';
import { describe } from '../manual/manual.ts';

const shells = ['bash', 'zsh', 'fish'] as const;

export function addCompletionCommand(program: Command): void {
  describe(
    program
      .command('completion')
      .addArgument(new Argument('<shell>', 'for which shell').choices(shells))
      .description('print what makes a shell complete commands, options and names')
      .action(async (shell: (typeof shells)[number]) => {
        const { scripts } = await import('./scripts.ts');
        process.stdout.write(scripts[shell]);
      }),
    {
      about: [
        'Prints a script for the shell. It completes commands, options and their values, and the names of VMs, hosts, clusters and rules and the ids ' +
          'of tasks and migrations, which are asked from the manager. Without an answer within 2 seconds there are no names, and nothing is said.',
        'The script only asks sealift what there is, so it need not be made again after an upgrade.',
      ],
      changes: 'Nothing: put what it prints where the shell looks for it.',
      examples: [
        ['sealift completion bash', 'as /etc/bash_completion.d/sealift, or in ~/.bashrc: source <(sealift completion bash)'],
        ['sealift completion zsh', 'as a file called _sealift in a folder of $fpath'],
        ['sealift completion fish', 'as ~/.config/fish/completions/sealift.fish'],
      ],
      alone: true,
    },
  );
}
