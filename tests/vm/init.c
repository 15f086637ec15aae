/* First process of the virtual machine that `cargo xtask vm` boots: makes one Bedrock call through functions named like
 * OpenSSL's, under `geophone exec`, and powers off. What geophone prints goes to the serial console.
 *
 *   /init        as process 1: mounts, runs `/geophone exec … -- /init call`, prints `geophone ended with N`
 *   /init call   the traced program */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define EXPORTED __attribute__((noinline, noclone, visibility("default")))

static const char answer[] =
    "{\"output\":{\"message\":{\"role\":\"assistant\",\"content\":[{\"text\":\"It moves.\"}]}},\"stopReason\":\"end_turn\","
    "\"usage\":{\"inputTokens\":11,\"outputTokens\":3,\"totalTokens\":14},\"metrics\":{\"latencyMs\":12}}";

struct ssl { volatile int calls; };

EXPORTED struct ssl *SSL_new(void *context) { (void)context; return calloc(1, sizeof(struct ssl)); }
EXPORTED void SSL_free(struct ssl *ssl) { free(ssl); }
EXPORTED int SSL_write(struct ssl *ssl, const void *buffer, int count) { (void)buffer; ssl->calls++; return count; }

EXPORTED int SSL_read(struct ssl *ssl, void *buffer, int count) {
  ssl->calls++;
  return snprintf(buffer, (size_t)count,
                  "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s", strlen(answer), answer);
}

static int call(void) {
  static char buffer[4096];
  const char *body = "{\"messages\":[{\"role\":\"user\",\"content\":[{\"text\":\"Does it?\"}]}]}";
  struct ssl *ssl = SSL_new(NULL);
  int length = snprintf(buffer, sizeof buffer,
                        "POST /model/amazon.nova-micro-v1%%3A0/converse HTTP/1.1\r\nHost: bedrock-runtime.us-east-1.amazonaws.com\r\n"
                        "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s", strlen(body), body);
  SSL_write(ssl, buffer, length);
  SSL_read(ssl, buffer, sizeof buffer);
  SSL_free(ssl);
  return 0;
}

int main(int argc, char **argv) {
  if (argc == 2 && strcmp(argv[1], "call") == 0)
    return call();
  if (getpid() != 1) {
    fprintf(stderr, "init: for a virtual machine only\n");
    return 2;
  }
  mkdir("/proc", 0755);
  mkdir("/sys", 0755);
  mkdir("/tmp", 0755);
  mkdir("/dev", 0755);
  mount("proc", "/proc", "proc", 0, NULL);
  mount("sysfs", "/sys", "sysfs", 0, NULL);
  mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
  const pid_t child = fork();
  if (child == 0) {
    execl("/geophone", "geophone", "exec", "--format", "otlp-json", "--output", "/dev/console", "--", "/init", "call", (char *)NULL);
    _exit(127);
  }
  int status = 0;
  waitpid(child, &status, 0);
  printf("\ngeophone ended with %d\n", WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
  fflush(stdout);
  sync();
  reboot(RB_POWER_OFF);
  return 0;
}
