/** What the database's guest is made of. */

/** Beside the kernel. Libraries are named with all that they need in turn; the build notices one that is missing. */
export const packages = [
  'busybox-static',
  'postgresql-15',
  'postgresql-client-15',
  'libaudit1',
  'libc6',
  'libcap-ng0',
  'libcap2',
  'libcom-err2',
  'libffi8',
  'libgcc-s1',
  'libgcrypt20',
  'libgmp10',
  'libgnutls30',
  'libgpg-error0',
  'libgssapi-krb5-2',
  'libhogweed6',
  'libicu72',
  'libidn2-0',
  'libk5crypto3',
  'libkeyutils1',
  'libkrb5-3',
  'libkrb5support0',
  'libldap-2.5-0',
  'liblz4-1',
  'liblzma5',
  'libnettle8',
  'libp11-kit0',
  'libpam0g',
  'libpq5',
  'libreadline8',
  'libsasl2-2',
  'libssl3',
  'libstdc++6',
  'libsystemd0',
  'libtasn1-6',
  'libtinfo6',
  'libunistring2',
  'libxml2',
  'libzstd1',
  'zlib1g',
] as const;

/** Kernel modules that the guest loads, beside those that these need. ext4 asks for crc32c by a name that is in no list. */
export const modules = ['virtio_pci', 'virtio_net', 'virtio_blk', 'crc32c_generic', 'ext4', 'button', 'evdev'] as const;

/** Where Debian has PostgreSQL's programs. */
export const programFolder = 'usr/lib/postgresql/15/bin';

/** What the guest runs. */
export const guestPrograms = ['postgres'] as const;

/** What this machine runs: to make the database, to load it, and to look at what became of it. */
export const hostPrograms = ['initdb', 'pg_amcheck', 'pg_checksums', 'pg_ctl', 'pgbench', 'postgres', 'psql'] as const;

/** Of its disks: programs and tables on the first, the write-ahead log on the second. */
export const diskMiB = [384, 192] as const;

/** The user that PostgreSQL runs as in the guest. */
export const postgresUser = 70;

/**
 * For a guest of one emulated CPU and 256 MiB. What is acknowledged is on disk: `fsync`, `full_page_writes` and `synchronous_commit` stay on.
 * The log goes to the console.
 */
export const settings = `listen_addresses = '*'
unix_socket_directories = ''
max_connections = 20
shared_buffers = 32MB
min_wal_size = 32MB
max_wal_size = 96MB
checkpoint_timeout = 30s
jit = off
max_parallel_workers_per_gather = 0
autovacuum_naptime = 20s
log_checkpoints = off
tcp_keepalives_idle = 0
`;
