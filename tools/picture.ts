/**
 * Draws what a command printed as a picture of a terminal, for the README:
 *
 *     npm run --silent demo | tools/node tools/picture.ts 'npm run demo' > docs/demo.svg
 */
import { text } from 'node:stream/consumers';

const charWidth = 8.4;
const lineHeight = 19;
const margin = 18;
const barHeight = 34;

const escapeXml = (line: string): string => line.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');

/** Escape sequences for colours and the cursor have no place in a still picture. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: that is what an escape sequence begins with
const withoutEscapes = (line: string): string => line.replace(/\x1b\[[0-9;?]*[A-Za-z]/g, '');

const colourOf = (line: string): string =>
  line.startsWith('$') ? '#ffffff' : line.startsWith('✔') ? '#8fd694' : line.startsWith('✖') ? '#ff8f8f' : '#d7dae0';

const command = process.argv[2] ?? '';
const printed = (await text(process.stdin)).split('\n').map(withoutEscapes);
// A step that has ended replaces its own announcement, as it does on a terminal.
const lines = [`$ ${command}`, ...printed.filter((line) => !line.startsWith('❯'))];
while (lines.at(-1)?.trim() === '') lines.pop();

const width = Math.ceil(Math.max(...lines.map((line) => line.length)) * charWidth + 2 * margin);
const height = barHeight + lines.length * lineHeight + 2 * margin;
const rows = lines.map((line, i) => {
  const y = barHeight + margin + (i + 0.75) * lineHeight;
  return `  <text x="${margin}" y="${y}" fill="${colourOf(line)}" xml:space="preserve">${escapeXml(line)}</text>`;
});

process.stdout.write(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}">
  <title>${escapeXml(command)} in a terminal, with what it prints</title>
  <rect width="100%" height="100%" rx="10" fill="#1d2129"/>
  <circle cx="22" cy="17" r="6" fill="#ff5f57"/><circle cx="42" cy="17" r="6" fill="#febc2e"/><circle cx="62" cy="17" r="6" fill="#28c840"/>
  <g font-family="ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace" font-size="14">
${rows.join('\n')}
  </g>
</svg>
`);
