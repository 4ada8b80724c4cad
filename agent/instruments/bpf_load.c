/* SPDX-License-Identifier: Apache-2.0 */
#include "instruments/bpf_load.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <bpf/btf.h>

#include "base/cleanup.h"
#include "base/num.h"

#define KERNEL_LOCKDOWN "/sys/kernel/security/lockdown"

/* From linux/capability.h, whose older versions lack two of them. */
#define BIT_SYS_ADMIN (1ULL << 21)
#define BIT_PERFMON   (1ULL << 38)
#define BIT_BPF	      (1ULL << 39)

static int effective_caps(const struct root *proc, uint64_t *ret, struct err *err)
{
	_cleanup_buf_ struct buf text = BUF_INIT(65536);
	const char *at;
	size_t n;
	int r = root_read(proc, "self/status", &text, err);

	if (r < 0)
		return r;
	at = text.data ? strstr(text.data, "\nCapEff:") : NULL;
	if (!at)
		return err_say(err, EIO, "%s/self/status has no CapEff", proc->path);
	at += strlen("\nCapEff:");
	at += strspn(at, " \t");
	n = strcspn(at, "\n");
	if (num_hex(at, n, ret) < 0)
		return err_say(err, EIO, "%s/self/status: CapEff is no number", proc->path);
	return 0;
}

static bool locked_down(void)
{
	_cleanup_fclose_ FILE *f = fopen(KERNEL_LOCKDOWN, "re");
	char line[128];

	return f && fgets(line, sizeof(line), f) && strstr(line, "[confidentiality]");
}

int bpf_probe(const struct root *proc, struct err *err)
{
	uint64_t caps = 0;
	int r;

	if (access(HOST_KERNEL_BTF, R_OK) < 0)
		return err_say(err, EOPNOTSUPP, "the kernel has no BTF (%s: %s)", HOST_KERNEL_BTF,
			       strerror(errno));
	if (locked_down())
		return err_say(err, EPERM, "kernel lockdown is in confidentiality mode");
	r = effective_caps(proc, &caps, err);
	if (r < 0)
		return r;
	if (caps & BIT_SYS_ADMIN)
		return 0;
	if (!(caps & BIT_BPF) || !(caps & BIT_PERFMON))
		return err_say(err, EPERM, "missing capability:%s%s",
			       caps & BIT_BPF ? "" : " CAP_BPF",
			       caps & BIT_PERFMON ? "" : " CAP_PERFMON");
	return 0;
}

/* The first thing libbpf complained about: it names the program; the verifier's whole log may follow. */
static char complaint[256];
static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;

__attribute__((format(printf, 2, 0))) static int keep_complaint(enum libbpf_print_level level,
								const char *fmt, va_list args)
{
	if (level != LIBBPF_WARN || complaint[0])
		return 0;
	(void)vsnprintf(complaint, sizeof(complaint), fmt, args);
	complaint[strcspn(complaint, "\n")] = '\0';
	return 0;
}

struct bpf_load bpf_load_begin(void)
{
	(void)pthread_mutex_lock(&turn);
	complaint[0] = '\0';
	return (struct bpf_load){.old = libbpf_set_print(keep_complaint)};
}

int bpf_load_end(const struct bpf_load *load, int r, const char *what, struct err *err)
{
	(void)libbpf_set_print(load->old);
	if (r < 0)
		(void)err_set(err, -r, "cannot load %s (%s)", what,
			      complaint[0] ? complaint : "no reason given");
	(void)pthread_mutex_unlock(&turn);
	return r;
}

int bpf_load_skip_missing(struct bpf_object *object)
{
	static const char prefix[] = "tp_btf/";
	struct btf *btf = btf__parse_raw(HOST_KERNEL_BTF);
	struct bpf_program *program;
	int n = 0;

	if (!btf)
		return -errno;
	bpf_object__for_each_program(program, object)
	{
		const char *section = bpf_program__section_name(program);
		char type[128];

		if (strncmp(section, prefix, sizeof(prefix) - 1) != 0)
			continue;
		(void)snprintf(type, sizeof(type), "btf_trace_%s", section + sizeof(prefix) - 1);
		if (btf__find_by_name_kind(btf, type, BTF_KIND_TYPEDEF) >= 0)
			continue;
		(void)bpf_program__set_autoload(program, false);
		n++;
	}
	btf__free(btf);
	return n;
}

int bpf_load_tracepoint_args(const char *name)
{
	struct btf *btf = btf__parse_raw(HOST_KERNEL_BTF);
	const struct btf_type *type = NULL;
	char word[128];
	int id, n = -ENOENT;

	(void)snprintf(word, sizeof(word), "btf_trace_%s", name);
	id = btf ? btf__find_by_name_kind(btf, word, BTF_KIND_TYPEDEF) : -ENOENT;
	/* A typedef of a pointer to the function, whose first argument is none of the tracepoint's. */
	if (id >= 0)
		type = btf__type_by_id(btf, btf__type_by_id(btf, (__u32)id)->type);
	if (type && btf_is_ptr(type))
		type = btf__type_by_id(btf, type->type);
	if (type && btf_is_func_proto(type))
		n = (int)btf_vlen(type) - 1;
	btf__free(btf);
	return n;
}

int bpf_load_attempts(int (*try)(void *arg, const struct bpf_attempt *attempt), void *arg,
		      bool by_pid_only)
{
	static const struct bpf_attempt attempts[] = {
		{.by_pid = false, .skip_missing = false},
		{.by_pid = true, .skip_missing = false},
		{.by_pid = false, .skip_missing = true},
		{.by_pid = true, .skip_missing = true},
	};
	int r = -EOPNOTSUPP;

	for (size_t i = 0; i < sizeof(attempts) / sizeof(attempts[0]) && r < 0 && r != -EPERM;
	     i++) {
		if (attempts[i].by_pid || !by_pid_only)
			r = try(arg, &attempts[i]);
	}
	return r;
}
