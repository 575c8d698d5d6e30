/*
 * Checks a guest's memory while it is moved, in the spirit of QEMU's own migration test.
 *
 * It owns N MiB of pages and walks over them without end. Every page carries a counter at its start and at its end, and its
 * own number in its middle. A pass adds one to each counter, to what was read from the page, never to what is known: so at
 * any moment the counters are k+1 up to the current page and k after it, and a page that was lost, that is stale, or that
 * stands in another's place differs, and goes on differing in every pass that follows.
 *
 *   checker MIB PAUSE_MS [PASSES [none|stale|lost|swapped|torn]]
 *
 * PAUSE_MS is the time that each pass rests, spread over it, so that memory changes evenly. Each second, and at the end, a
 * Redis command with the results goes to standard output; a line for people goes to standard error at first, whenever there are
 * new errors, and each ten seconds, so that a shell on the same console can be used. With PASSES it ends after
 * so many, with status 1 if there were errors. The last argument damages one page half-way, to show that it is noticed.
 *
 * Freestanding (Linux, x86-64), so that a compiler is all that it takes: tcc -nostdlib -static.
 */

typedef unsigned long u64;

#define PAGE 4096UL
#define WORDS (PAGE / sizeof(u64))
#define FIRST 0
#define MIDDLE (WORDS / 2)
#define LAST (WORDS - 1)
#define BLOCK 64UL /* pages between two rests and two looks at the clock */
#define SECOND 1000000000UL

#define SYS_WRITE 1
#define SYS_MMAP 9
#define SYS_NANOSLEEP 35
#define SYS_EXIT_GROUP 231
#define SYS_CLOCK_GETTIME 228
#define CLOCK_MONOTONIC 1

long syscall6(long number, long a, long b, long c, long d, long e, long f);
__asm__(".globl syscall6\n"
        "syscall6:\n"
        "  mov %rdi, %rax\n"
        "  mov %rsi, %rdi\n"
        "  mov %rdx, %rsi\n"
        "  mov %rcx, %rdx\n"
        "  mov %r8, %r10\n"
        "  mov %r9, %r8\n"
        "  mov 8(%rsp), %r9\n"
        "  syscall\n"
        "  ret\n"
        ".globl _start\n"
        "_start:\n"
        "  mov %rsp, %rdi\n"
        "  and $-16, %rsp\n"
        "  call start\n");

static void leave(long status) { syscall6(SYS_EXIT_GROUP, status, 0, 0, 0, 0, 0); }

static u64 now(void) {
  u64 time[2];
  syscall6(SYS_CLOCK_GETTIME, CLOCK_MONOTONIC, (long)time, 0, 0, 0, 0);
  return time[0] * SECOND + time[1];
}

static void rest(u64 nanoseconds) {
  u64 time[2];
  time[0] = nanoseconds / SECOND;
  time[1] = nanoseconds % SECOND;
  syscall6(SYS_NANOSLEEP, (long)time, 0, 0, 0, 0, 0);
}

static u64 number(const char *text) {
  u64 value = 0;
  while (*text >= '0' && *text <= '9') value = value * 10 + (u64)(*text++ - '0');
  return value;
}

static char *put(char *to, const char *text) {
  while (*text) *to++ = *text++;
  return to;
}

static char *put_number(char *to, u64 value) {
  char digits[20];
  int count = 0;
  do digits[count++] = (char)('0' + value % 10);
  while (value /= 10);
  while (count) *to++ = digits[--count];
  return to;
}

static void say(long file, const char *start, const char *separator, u64 passes, u64 errors, u64 pages) {
  char line[160], *to = put(line, start);
  to = put_number(put(put(to, " passes"), separator), passes);
  to = put_number(put(put(to, " errors"), separator), errors);
  to = put_number(put(put(to, " pages"), separator), pages);
  *to++ = '\n';
  syscall6(SYS_WRITE, file, (long)line, to - line, 0, 0, 0);
}

static u64 reports, errors_said;

static void report(u64 passes, u64 errors, u64 pages) {
  say(1, "HSET sealift:checker", " ", passes, errors, pages);
  if (reports++ % 10 == 0 || errors != errors_said) say(2, "checker:", "=", passes, errors, pages);
  errors_said = errors;
}

/* What a broken migration would do to the page in the middle of the memory. */
static void damage(u64 *memory, u64 pages, const char *how) {
  u64 *page = memory + (pages / 2) * WORDS, *next = page + WORDS, word, i;
  if (how[0] == 's' && how[1] == 't') { /* stale: as it was a pass ago */
    page[FIRST]--;
    page[LAST]--;
  }
  if (how[0] == 'l') /* lost: never arrived */
    for (i = 0; i < WORDS; i++) page[i] = 0;
  if (how[0] == 's' && how[1] == 'w') /* swapped with its neighbour */
    for (i = 0; i < WORDS; i++) {
      word = page[i];
      page[i] = next[i];
      next[i] = word;
    }
  if (how[0] == 't') /* torn: its second half is a pass older */
    page[LAST]--;
}

static void walk(u64 mib, u64 pause, u64 limit, const char *how) {
  u64 pages = mib * 256, errors = 0, pass, i, said = now();
  u64 pause_per_block = pause * 1000000 / ((pages + BLOCK - 1) / BLOCK);
  /* PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS */
  long mapped = syscall6(SYS_MMAP, 0, (long)(pages * PAGE), 3, 0x22, -1, 0);
  u64 *memory = (u64 *)mapped;
  if (mapped < 0 && mapped > -4096) {
    static const char problem[] = "checker: not enough memory\n";
    syscall6(SYS_WRITE, 2, (long)problem, sizeof problem - 1, 0, 0, 0);
    leave(2);
  }
  for (i = 0; i < pages; i++) memory[i * WORDS + MIDDLE] = i;
  for (pass = 0; limit == 0 || pass < limit; pass++) {
    if (pass == limit / 2) damage(memory, pages, how);
    for (i = 0; i < pages; i++) {
      volatile u64 *page = memory + i * WORDS;
      if (page[FIRST] != pass || page[LAST] != pass || page[MIDDLE] != i) errors++;
      page[FIRST] = page[FIRST] + 1;
      page[LAST] = page[LAST] + 1;
      if ((i + 1) % BLOCK == 0) {
        if (pause_per_block) rest(pause_per_block);
        if (now() - said >= SECOND) {
          said = now();
          report(pass, errors, pages);
        }
      }
    }
  }
  report(pass, errors, pages);
  leave(errors ? 1 : 0);
}

void start(u64 *stack) {
  u64 count = stack[0];
  char **arguments = (char **)(stack + 1);
  if (count < 3 || number(arguments[1]) == 0) {
    static const char usage[] = "usage: checker MIB PAUSE_MS [PASSES [none|stale|lost|swapped|torn]]\n";
    syscall6(SYS_WRITE, 2, (long)usage, sizeof usage - 1, 0, 0, 0);
    leave(2);
  }
  walk(number(arguments[1]), number(arguments[2]), count > 3 ? number(arguments[3]) : 0, count > 4 ? arguments[4] : "none");
}
