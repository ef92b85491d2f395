/* For LD_PRELOAD: appends a line `NAME INSTRUCTIONS` to $MEMBENCH_VERIFIED for every BPF program that is loaded, with the
 * number of instructions that the verifier processed. bpf_prog_info has the number only since Linux 5.16. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <linux/bpf.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

typedef long call(long, ...);

/* BPF_LOG_STATS of the kernel's internal bpf_verifier.h: logs totals only. */
enum { STATISTICS = 4 };

static void note(const char *name, const char *log)
{
	const char *path = getenv("MEMBENCH_VERIFIED"), *found = strstr(log, "processed ");
	FILE *file = path && found ? fopen(path, "a") : NULL;

	if (!file)
		return;
	fprintf(file, "%s %lu\n", name, strtoul(found + strlen("processed "), NULL, 10));
	fclose(file);
}

/* Copies all of the caller's attributes, which may be longer than those of the headers here. */
static long load(call *next, const void *attributes, size_t size)
{
	static char log[1 << 16];
	union {
		union bpf_attr named;
		char whole[1024];
	} asked = {0};
	long program;

	if (size < offsetof(union bpf_attr, prog_ifindex) || size > sizeof(asked))
		return next(SYS_bpf, BPF_PROG_LOAD, attributes, size);
	memcpy(&asked, attributes, size);
	if (asked.named.log_level) {
		program = next(SYS_bpf, BPF_PROG_LOAD, attributes, size);
		if (program >= 0)
			note(asked.named.prog_name, (const char *)(uintptr_t)asked.named.log_buf);
		return program;
	}
	asked.named.log_level = STATISTICS;
	asked.named.log_size = sizeof(log);
	asked.named.log_buf = (uint64_t)(uintptr_t)log;
	log[0] = 0;
	program = next(SYS_bpf, BPF_PROG_LOAD, &asked, size);
	if (program >= 0)
		note(asked.named.prog_name, log);
	return program;
}

long syscall(long number, ...)
{
	call *next = (call *)dlsym(RTLD_NEXT, "syscall");
	va_list list;
	long with[6];

	va_start(list, number);
	for (int place = 0; place < 6; place++)
		with[place] = va_arg(list, long);
	va_end(list);
	if (number == SYS_bpf && with[0] == BPF_PROG_LOAD)
		return load(next, (const void *)with[1], with[2]);
	return next(number, with[0], with[1], with[2], with[3], with[4], with[5]);
}
