/* A stand-in for a program with TLS linked in: it exports the four functions that geophone probes in OpenSSL and calls
 * one of them in a loop. The functions do next to nothing, so that what is measured is the cost of the probes.
 *
 *   standin TARGET SIZE CALLS
 *
 * Writes one line with its pid and waits for a line on standard input before each round; a round writes TARGET once
 * (what a verdict is made from), then SIZE bytes CALLS times, and prints the nanoseconds one call took. */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Compiled with -fno-omit-frame-pointer: a frame push is what the functions of real libraries begin with, and the kernel
 * emulates it instead of single-stepping. */
#define EXPORTED __attribute__((noinline, noclone, visibility("default")))

struct ssl { volatile uint64_t calls; };

EXPORTED int SSL_write(struct ssl *ssl, const void *buffer, int count) { (void)buffer; ssl->calls++; return count; }
EXPORTED int SSL_read(struct ssl *ssl, void *buffer, int count) { (void)buffer; ssl->calls++; return count; }
EXPORTED struct ssl *SSL_new(void *context) { (void)context; return calloc(1, sizeof(struct ssl)); }
EXPORTED void SSL_free(struct ssl *ssl) { free(ssl); }

static uint64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

int main(int argc, char **argv) {
  if (argc != 4) {
    fprintf(stderr, "usage: standin TARGET SIZE CALLS\n");
    return 2;
  }
  const int size = atoi(argv[2]);
  const long calls = atol(argv[3]);
  if (size <= 0 || calls <= 0) {
    fprintf(stderr, "standin: SIZE and CALLS are positive numbers\n");
    return 2;
  }
  char *data = malloc((size_t)size);
  memset(data, 'x', (size_t)size);
  char head[512];
  const int head_length = snprintf(head, sizeof head,
                                   "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %lld\r\n\r\n", argv[1],
                                   (long long)size * calls);
  printf("%d\n", getpid());
  fflush(stdout);
  char line[16];
  while (fgets(line, sizeof line, stdin)) {
    struct ssl *ssl = SSL_new(NULL);
    SSL_write(ssl, head, head_length);
    usleep(300000); /* a verdict comes from user space; it is not part of the cost of a call */
    const uint64_t start = now();
    for (long call = 0; call < calls; call++)
      SSL_write(ssl, data, size);
    const uint64_t end = now();
    SSL_free(ssl);
    printf("%.1f\n", (double)(end - start) / (double)calls);
    fflush(stdout);
  }
  return 0;
}
