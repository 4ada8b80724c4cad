/* SPDX-License-Identifier: Apache-2.0 */
#include "instruments/bpf_load.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* The first thing libbpf complained about: it names the program; the verifier's whole log may follow. */
static char complaint[256];

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
	complaint[0] = '\0';
	return (struct bpf_load){.old = libbpf_set_print(keep_complaint)};
}

int bpf_load_end(const struct bpf_load *load, int r, const char *what, struct err *err)
{
	(void)libbpf_set_print(load->old);
	if (r >= 0)
		return r;
	return err_set(err, -r, "cannot load %s (%s)", what,
		       complaint[0] ? complaint : "no reason given");
}
