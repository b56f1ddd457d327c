/*
 * A disk that forgets what was not flushed, for power-cut tests. It shows one file, `disk`, through the kernel's FUSE protocol (spoken
 * here directly: no library); a loop device over that file carries an ordinary file system. Writes since the last flush are held in memory and only a
 * flush carries them into the image file. So the image is at every moment what a drive with a volatile cache would surely still have.
 *
 *   block-device serve MOUNTPOINT IMAGE [RECORDING]   serves IMAGE as MOUNTPOINT/disk until standard input ends
 *     commands on standard input, one a line:
 *       cut SEED KEEP   power goes: a random KEEP percent of the 4 KiB blocks written since the last flush reach the image, an eighth of the
 *                       others in part (512-byte sectors); then every read and write fails. Answers with what was pending and kept.
 *       mark NUMBER     noted in the recording between the writes
 *   block-device replay IMAGE RECORDING POSITION SEED KEEP
 *                       brings IMAGE from where the recording began to a power cut after POSITION of its entries; prints the last mark before
 *   block-device control sync|lazy FILE               a writer of 64-byte records that prints the number of each once it counts as written
 *   block-device stir DIRECTORY                       sends random ranges of all files below to the disk early, without a flush, as the kernel's
 *                                                     own writeback might: what a cut then keeps has holes and later bytes before earlier ones
 *
 * Entries of a recording: type byte (w, f, m), 8 bytes position or number, 4 bytes length, then the bytes of a write. Native byte order.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/fuse.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BLOCK = 4096, SECTOR = 512, MAX_WRITE = 1 << 20, DISK_NODE = 2 };

/* One write that no flush has covered yet. */
struct pending {
  uint64_t position;
  uint32_t length;
  unsigned char *bytes;
};

static struct pending *pending;
static size_t pending_count, pending_room;
static int image_fd, recording_fd = -1;
static uint64_t image_bytes;
static unsigned char *view; /* the image with all pending writes: what reads see */
static uint64_t flushes, writes;
static int is_cut;

static void die(const char *what) {
  fprintf(stderr, "block-device: %s: %s\n", what, strerror(errno));
  exit(1);
}

static void write_fully(int fd, const void *bytes, size_t length, off_t position) {
  const unsigned char *at = bytes;
  while (length > 0) {
    ssize_t done = position < 0 ? write(fd, at, length) : pwrite(fd, at, length, position);
    if (done <= 0) die("write");
    at += done;
    length -= (size_t)done;
    if (position >= 0) position += done;
  }
}

static void note(char type, uint64_t position, uint32_t length, const void *bytes) {
  unsigned char header[13] = {(unsigned char)type};
  if (recording_fd < 0) return;
  memcpy(header + 1, &position, 8);
  memcpy(header + 9, &length, 4);
  write_fully(recording_fd, header, sizeof header, -1);
  if (bytes != NULL) write_fully(recording_fd, bytes, length, -1);
}

/* splitmix64: the same seed cuts the same way. */
static uint64_t random_state;
static uint64_t random_next(void) {
  uint64_t mixed = (random_state += 0x9e3779b97f4a7c15ULL);
  mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9ULL;
  mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebULL;
  return mixed ^ (mixed >> 31);
}

static void add_pending(uint64_t position, uint32_t length, const unsigned char *bytes) {
  if (pending_count == pending_room) {
    pending_room = pending_room == 0 ? 1024 : pending_room * 2;
    pending = realloc(pending, pending_room * sizeof *pending);
    if (pending == NULL) die("memory");
  }
  unsigned char *copy = malloc(length > 0 ? length : 1);
  if (copy == NULL) die("memory");
  memcpy(copy, bytes, length);
  pending[pending_count++] = (struct pending){position, length, copy};
}

static void forget_pending(void) {
  for (size_t at = 0; at < pending_count; at++) free(pending[at].bytes);
  pending_count = 0;
}

static void flush_pending(void) {
  for (size_t at = 0; at < pending_count; at++)
    write_fully(image_fd, pending[at].bytes, pending[at].length, (off_t)pending[at].position);
  forget_pending();
}

/* Lets a random part of the pending writes reach the image, and says how much. */
static void cut(uint64_t seed, unsigned keep) {
  uint64_t blocks = 0, kept = 0, torn = 0, bytes = 0;
  random_state = seed;
  for (size_t at = 0; at < pending_count; at++) {
    const struct pending *one = &pending[at];
    bytes += one->length;
    for (uint32_t from = 0; from < one->length;) {
      uint64_t position = one->position + from;
      uint32_t length = BLOCK - (uint32_t)(position % BLOCK);
      if (length > one->length - from) length = one->length - from;
      blocks++;
      if (random_next() % 100 < keep) {
        kept++;
        write_fully(image_fd, one->bytes + from, length, (off_t)position);
      } else if (keep > 0 && random_next() % 8 == 0) {
        torn++;
        for (uint32_t sector = 0; sector < length; sector += SECTOR) {
          uint32_t size = length - sector < SECTOR ? length - sector : SECTOR;
          if (random_next() % 2 == 0)
            write_fully(image_fd, one->bytes + from + sector, size, (off_t)(position + sector));
        }
      }
      from += length;
    }
  }
  printf("{\"writes\":%llu,\"flushes\":%llu,\"pendingWrites\":%zu,\"pendingBytes\":%llu,\"blocks\":%llu,\"kept\":%llu,\"torn\":%llu}\n",
         (unsigned long long)writes, (unsigned long long)flushes, pending_count, (unsigned long long)bytes,
         (unsigned long long)blocks, (unsigned long long)kept, (unsigned long long)torn);
  fflush(stdout);
  forget_pending();
}

/* ---- the FUSE side */

static int fuse_fd;

static void answer(uint64_t unique, int error, const void *bytes, size_t length) {
  static unsigned char out[sizeof(struct fuse_out_header) + MAX_WRITE];
  struct fuse_out_header header = {.len = (uint32_t)(sizeof header + length), .error = -error, .unique = unique};
  memcpy(out, &header, sizeof header);
  if (length > 0) memcpy(out + sizeof header, bytes, length);
  /* ENOENT: the request was interrupted meanwhile. */
  if (write(fuse_fd, out, header.len) < 0 && errno != ENOENT && errno != ENODEV) die("answer");
}

static void fill_attributes(struct fuse_attr *attributes, uint64_t node) {
  memset(attributes, 0, sizeof *attributes);
  attributes->ino = node;
  attributes->nlink = 1;
  attributes->mode = node == DISK_NODE ? S_IFREG | 0600 : S_IFDIR | 0700;
  attributes->size = node == DISK_NODE ? image_bytes : 0;
  attributes->blocks = attributes->size / 512;
  attributes->blksize = BLOCK;
}

static void serve_request(const struct fuse_in_header *in, const unsigned char *body) {
  switch (in->opcode) {
  case FUSE_INIT: {
    const struct fuse_init_in *asked = (const void *)body;
    struct fuse_init_out out = {
        .major = FUSE_KERNEL_VERSION,
        .minor = asked->minor < FUSE_KERNEL_MINOR_VERSION ? asked->minor : FUSE_KERNEL_MINOR_VERSION,
        .max_readahead = asked->max_readahead,
        .flags = asked->flags & (FUSE_BIG_WRITES | FUSE_MAX_PAGES | FUSE_ASYNC_READ),
        .max_background = 16,
        .congestion_threshold = 12,
        .max_write = MAX_WRITE,
        .time_gran = 1,
        .max_pages = MAX_WRITE / 4096,
    };
    answer(in->unique, 0, &out, sizeof out);
    return;
  }
  case FUSE_LOOKUP: {
    struct fuse_entry_out out = {.nodeid = DISK_NODE, .attr_valid = 3600, .entry_valid = 3600};
    if (strcmp((const char *)body, "disk") != 0) {
      answer(in->unique, ENOENT, NULL, 0);
      return;
    }
    fill_attributes(&out.attr, DISK_NODE);
    answer(in->unique, 0, &out, sizeof out);
    return;
  }
  case FUSE_GETATTR:
  case FUSE_SETATTR: {
    struct fuse_attr_out out = {.attr_valid = 3600};
    fill_attributes(&out.attr, in->nodeid);
    answer(in->unique, 0, &out, sizeof out);
    return;
  }
  case FUSE_OPEN:
  case FUSE_OPENDIR: {
    struct fuse_open_out out = {0};
    answer(in->unique, 0, &out, sizeof out);
    return;
  }
  case FUSE_READ: {
    const struct fuse_read_in *asked = (const void *)body;
    uint64_t length = asked->size;
    if (is_cut) {
      answer(in->unique, EIO, NULL, 0);
      return;
    }
    if (asked->offset >= image_bytes) length = 0;
    else if (length > image_bytes - asked->offset) length = image_bytes - asked->offset;
    answer(in->unique, 0, view + asked->offset, length);
    return;
  }
  case FUSE_WRITE: {
    const struct fuse_write_in *asked = (const void *)body;
    const unsigned char *bytes = body + sizeof *asked;
    struct fuse_write_out out = {.size = asked->size};
    if (is_cut || asked->offset + asked->size > image_bytes) {
      answer(in->unique, is_cut ? EIO : ENOSPC, NULL, 0);
      return;
    }
    writes++;
    memcpy(view + asked->offset, bytes, asked->size);
    add_pending(asked->offset, asked->size, bytes);
    note('w', asked->offset, asked->size, bytes);
    answer(in->unique, 0, &out, sizeof out);
    return;
  }
  case FUSE_FSYNC:
    if (is_cut) {
      answer(in->unique, EIO, NULL, 0);
      return;
    }
    flushes++;
    flush_pending();
    note('f', flushes, 0, NULL);
    answer(in->unique, 0, NULL, 0);
    return;
  case FUSE_READDIR:
  case FUSE_FLUSH:
  case FUSE_RELEASE:
  case FUSE_RELEASEDIR:
  case FUSE_DESTROY:
    answer(in->unique, 0, NULL, 0);
    return;
  case FUSE_STATFS: {
    struct fuse_statfs_out out = {.st = {.bsize = BLOCK, .namelen = 255, .frsize = BLOCK}};
    answer(in->unique, 0, &out, sizeof out);
    return;
  }
  case FUSE_FALLOCATE:
    answer(in->unique, EOPNOTSUPP, NULL, 0);
    return;
  case FUSE_FORGET:
  case FUSE_BATCH_FORGET:
  case FUSE_INTERRUPT:
    return;
  default:
    answer(in->unique, ENOSYS, NULL, 0);
  }
}

static void obey(char *line) {
  unsigned long long number;
  unsigned keep;
  if (sscanf(line, "cut %llu %u", &number, &keep) == 2) {
    is_cut = 1;
    cut(number, keep);
  } else if (sscanf(line, "mark %llu", &number) == 1) {
    note('m', number, 0, NULL);
  }
}

static int serve(const char *mountpoint, const char *image, const char *recording) {
  char options[128], line[256];
  size_t line_length = 0;
  struct stat status;
  size_t room = MAX_WRITE + 65536;
  unsigned char *request = malloc(room);
  /* A terminal's interrupt reaches all processes: the disk goes last, when its input ends. */
  signal(SIGINT, SIG_IGN);
  signal(SIGTERM, SIG_IGN);
  image_fd = open(image, O_RDWR);
  if (image_fd < 0 || fstat(image_fd, &status) < 0 || request == NULL) die(image);
  image_bytes = (uint64_t)status.st_size;
  view = mmap(NULL, image_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, image_fd, 0);
  if (view == MAP_FAILED) die("mmap");
  if (recording != NULL) {
    recording_fd = open(recording, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (recording_fd < 0) die(recording);
  }
  fuse_fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
  if (fuse_fd < 0) die("/dev/fuse");
  snprintf(options, sizeof options, "fd=%d,rootmode=40000,user_id=0,group_id=0", fuse_fd);
  if (mount("block-device", mountpoint, "fuse", MS_NOSUID | MS_NODEV, options) < 0) die("mount");
  puts("{\"ready\":true}");
  fflush(stdout);
  for (;;) {
    struct pollfd watched[2] = {{.fd = 0, .events = POLLIN}, {.fd = fuse_fd, .events = POLLIN}};
    if (poll(watched, 2, -1) < 0) {
      if (errno == EINTR) continue;
      die("poll");
    }
    if (watched[0].revents != 0) {
      char byte;
      if (read(0, &byte, 1) <= 0) break;
      if (byte != '\n' && line_length + 1 < sizeof line) line[line_length++] = byte;
      if (byte == '\n') {
        line[line_length] = 0;
        line_length = 0;
        obey(line);
      }
    }
    if (watched[1].revents != 0) {
      ssize_t length = read(fuse_fd, request, room);
      if (length < 0 && (errno == EINTR || errno == EAGAIN || errno == ENOENT)) continue;
      if (length < (ssize_t)sizeof(struct fuse_in_header)) break; /* unmounted */
      serve_request((const void *)request, request + sizeof(struct fuse_in_header));
    }
  }
  umount2(mountpoint, MNT_DETACH);
  return 0;
}

/* ---- replaying a recording */

static int replay(const char *image, const char *recording, uint64_t entries, uint64_t seed, unsigned keep) {
  unsigned char header[13];
  static unsigned char bytes[MAX_WRITE];
  uint64_t mark = 0, at;
  FILE *file = fopen(recording, "r");
  image_fd = open(image, O_RDWR);
  if (file == NULL || image_fd < 0) die("open");
  for (at = 0; at < entries && fread(header, 1, sizeof header, file) == sizeof header; at++) {
    uint64_t position;
    uint32_t length;
    memcpy(&position, header + 1, 8);
    memcpy(&length, header + 9, 4);
    if (header[0] == 'w') {
      if (length > sizeof bytes || fread(bytes, 1, length, file) != length) break;
      writes++;
      add_pending(position, length, bytes);
    } else if (header[0] == 'f') {
      flushes++;
      flush_pending();
    } else if (header[0] == 'm') {
      mark = position;
    }
  }
  printf("%llu\n%llu\n", (unsigned long long)mark, (unsigned long long)at);
  cut(seed, keep);
  return 0;
}

/* ---- the control writers */

static int control(const char *how, const char *path) {
  char record[65];
  int is_synced = strcmp(how, "sync") == 0;
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  if (fd < 0) die(path);
  if (is_synced && fsync(fd) < 0) die("fsync");
  for (unsigned number = 0;; number++) {
    snprintf(record, sizeof record, "%-63u\n", number);
    if (write(fd, record, 64) != 64) break;
    if (is_synced && fdatasync(fd) < 0) break;
    printf("%u\n", number);
    fflush(stdout);
    usleep(is_synced ? 25000 : 1000);
  }
  return 1;
}

/* ---- early writeback */

static int stir_one(const char *path, const struct stat *status, int type, struct FTW *place) {
  (void)place;
  if (type != FTW_F || status->st_size == 0 || random_next() % 4 != 0) return 0;
  int fd = open(path, O_RDONLY);
  if (fd < 0) return 0;
  off_t from = (off_t)(random_next() % (uint64_t)status->st_size);
  sync_file_range(fd, from, (off_t)(random_next() % 65536), SYNC_FILE_RANGE_WRITE);
  close(fd);
  return 0;
}

static int stir(const char *directory) {
  random_state = (uint64_t)getpid();
  while (getppid() != 1) {
    nftw(directory, stir_one, 16, FTW_PHYS);
    usleep(2000);
  }
  return 0;
}

int main(int count, char **words) {
  if ((count == 4 || count == 5) && strcmp(words[1], "serve") == 0)
    return serve(words[2], words[3], count == 5 ? words[4] : NULL);
  if (count == 7 && strcmp(words[1], "replay") == 0)
    return replay(words[2], words[3], strtoull(words[4], NULL, 10), strtoull(words[5], NULL, 10),
                  (unsigned)atoi(words[6]));
  if (count == 4 && strcmp(words[1], "control") == 0) return control(words[2], words[3]);
  if (count == 3 && strcmp(words[1], "stir") == 0) return stir(words[2]);
  fputs("usage: block-device serve MOUNTPOINT IMAGE [RECORDING]\n"
        "       block-device replay IMAGE RECORDING POSITION SEED KEEP\n"
        "       block-device control sync|lazy FILE\n"
        "       block-device stir DIRECTORY\n", stderr);
  return 2;
}
