/*
 * Sends ICMP echo requests (RFC 792) at a fixed interval, each once: what is lost is lost, where TCP would send it again later. Reads no answers; whoever
 * captures the interface has the kernel's times of both. Ends when whoever started it does, and when the network takes nothing more.
 *
 *   prober ADDRESS INTERVAL_US          ADDRESS as a decimal number, 10.77.1.100 being 172818788
 *
 * Runs before everything else where it may (SCHED_FIFO), so that a busy machine does not space the requests out.
 *
 * Freestanding (Linux, x86-64), so that a compiler is all that it takes: tcc -nostdlib -static.
 */

typedef unsigned char u8;
typedef unsigned long u64;

#define SECOND 1000000000UL

#define SYS_WRITE 1
#define SYS_SOCKET 41
#define SYS_SENDTO 44
#define SYS_SCHED_SETSCHEDULER 144
#define SYS_PRCTL 157
#define SYS_CLOCK_GETTIME 228
#define SYS_CLOCK_NANOSLEEP 230
#define SYS_EXIT_GROUP 231
#define CLOCK_MONOTONIC 1
#define TIMER_ABSTIME 1
#define PR_SET_PDEATHSIG 1
#define SIGKILL 9
#define AF_INET 2
#define SOCK_RAW_CLOEXEC 02000003
#define IPPROTO_ICMP 1
#define SCHED_FIFO 1
#define MSG_DONTWAIT 0x40
#define ENOBUFS 105
#define EAGAIN 11

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

static void fail(const char *why, long length) {
  syscall6(SYS_WRITE, 2, (long)why, length, 0, 0, 0);
  syscall6(SYS_EXIT_GROUP, 1, 0, 0, 0, 0, 0);
}

static u64 number(const char *text) {
  u64 value = 0;
  while (*text >= '0' && *text <= '9') value = value * 10 + (u64)(*text++ - '0');
  return value;
}

/* RFC 1071, of a request whose words are all 0 but for its type and its sequence number. */
static void request(u8 *packet, u64 sequence) {
  u64 sum = 0x0800 + (sequence & 0xffff);
  sum = ~((sum & 0xffff) + (sum >> 16));
  packet[0] = 8;
  packet[2] = (u8)(sum >> 8);
  packet[3] = (u8)sum;
  packet[6] = (u8)(sequence >> 8);
  packet[7] = (u8)sequence;
}

void start(u64 *stack) {
  char **arguments = (char **)(stack + 1);
  static u8 to[16] = {AF_INET}, packet[16]; /* static, for there is no memset() here */
  u64 address, interval, time[2], sequence;
  int priority = 1;
  long opened, sent;
  if (stack[0] != 3 || number(arguments[2]) == 0) fail("usage: prober ADDRESS INTERVAL_US\n", 35);
  address = number(arguments[1]);
  interval = number(arguments[2]) * 1000;
  to[4] = (u8)(address >> 24);
  to[5] = (u8)(address >> 16);
  to[6] = (u8)(address >> 8);
  to[7] = (u8)address;
  syscall6(SYS_PRCTL, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0, 0);
  syscall6(SYS_SCHED_SETSCHEDULER, 0, SCHED_FIFO, (long)&priority, 0, 0, 0);
  opened = syscall6(SYS_SOCKET, AF_INET, SOCK_RAW_CLOEXEC, IPPROTO_ICMP, 0, 0, 0);
  if (opened < 0) fail("prober: no raw socket\n", 22);
  syscall6(SYS_CLOCK_GETTIME, CLOCK_MONOTONIC, (long)time, 0, 0, 0, 0);
  for (sequence = 0;; sequence++) {
    request(packet, sequence);
    sent = syscall6(SYS_SENDTO, opened, (long)packet, sizeof packet, MSG_DONTWAIT, (long)to, sizeof to);
    if (sent < 0 && sent != -ENOBUFS && sent != -EAGAIN) fail("prober: the network does not take it\n", 37);
    time[1] += interval;
    while (time[1] >= SECOND) {
      time[1] -= SECOND;
      time[0]++;
    }
    syscall6(SYS_CLOCK_NANOSLEEP, CLOCK_MONOTONIC, TIMER_ABSTIME, (long)time, 0, 0, 0);
  }
}
