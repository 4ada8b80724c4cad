/* SPDX-License-Identifier: Apache-2.0 */
/* SchedulingStall: judging on stalls written by hand; which function of a stack is to be named. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/mem.h"
#include "checks/scheduling_stall.h"

static char *locked[] = {"native_queued_spin_lock_slowpath+0x1f0", "_raw_spin_lock+0x2a",
			 "nft_rbtree_gc+0x4c [nf_tables]", "process_one_work+0x1e0"};
static char *plain[] = {"zap_pte_range+0x31", "unmap_page_range+0x11"};
static char *softirq[] = {"nf_hook_slow+0x10", "net_rx_action+0x1", "handle_softirqs+0xd0"};
static char *numa[] = {"memcg_numa_stat_show+0x90", "seq_read_iter+0x10"};

static void the_interrupt_is_left_out(void **state)
{
	char *x86[] = {"bpf_prog_8c9b_on_tick+0xdd5 [bpf]", "__hrtimer_run_queues+0x1f5",
		       "sysvec_apic_timer_interrupt+0x60", "asm_sysvec_apic_timer_interrupt+0x16",
		       "zap_pte_range+0x31"};
	char *arm64[] = {"arch_timer_handler_virt+0x1", "el1h_64_irq+0x68", "copy_page+0x10"};

	(void)state;
	assert_int_equal(stall_first_frame(x86, ARRAY_SIZE(x86)), 4);
	assert_int_equal(stall_first_frame(arm64, ARRAY_SIZE(arm64)), 2);
	assert_int_equal(stall_first_frame(plain, ARRAY_SIZE(plain)), 0);
	assert_int_equal(stall_first_frame(x86, 4), 0); /* nothing behind it: user space */
	assert_int_equal(stall_first_frame(x86, 0), 0);
}

static void locks_are_named_apart(void **state)
{
	const struct stall_row row = {.frames = locked, .n_frames = ARRAY_SIZE(locked)};
	const struct stall_row only = {.frames = locked, .n_frames = 2};
	const struct stall_row none = {0};

	(void)state;
	assert_string_equal(stall_function(&row), "nft_rbtree_gc+0x4c [nf_tables]");
	assert_string_equal(stall_lock(&row), "native_queued_spin_lock_slowpath+0x1f0");
	assert_string_equal(stall_function(&only), "native_queued_spin_lock_slowpath+0x1f0");
	assert_null(stall_function(&none));
	assert_null(stall_lock(&none));
	assert_false(stall_is_lock("lock_page_memcg+0x1"));
	assert_true(stall_is_lock("delay_tsc+0x9"));
}

struct world {
	struct spec spec;
	struct stall_row rows[8];
	struct stall_cpu cpus[2];
	struct stall_facts facts;
	struct check_result result;
};

static void add(struct world *w, const struct owner *owner, uint32_t kind, uint64_t ms,
		char **frames, size_t n)
{
	struct stall_row *row = &w->rows[w->facts.n++];

	row->owner = *owner;
	row->event = (struct stalls_event){.kind = kind,
					   .cpu = 1,
					   .tgid = 77,
					   .pid = 78,
					   .duration_ns = ms * NSEC_PER_MSEC,
					   .comm = "worker"};
	row->frames = frames;
	row->n_frames = n;
	hist_record(&w->facts.node[kind], ms * NSEC_PER_MSEC);
}

static void setup(struct world *w)
{
	memset(w, 0, sizeof(*w));
	w->spec.top = 10;
	w->cpus[1] = (struct stall_cpu){.cpu = 1, .softirq_permille = 300};
	w->facts = (struct stall_facts){.spec = &w->spec,
					.window_ns = 10 * NSEC_PER_SEC,
					.rows = w->rows,
					.cpus = w->cpus,
					.n_cpus = 2,
					.method = "bpf-tick"};
}

static const struct owner api = {
	.cgroup = "/kubepods/a", .cgroup_id = 11, .ns = "shop", .pod = "api-0", .container = "app"};
static const struct owner root = {.cgroup = "/", .cgroup_id = 1};

static const char *evidence(const struct finding *f, const char *name)
{
	for (size_t i = 0; i < f->n_evidence; i++)
		if (strcmp(f->evidence[i].name, name) == 0)
			return f->evidence[i].value;
	return "";
}

static void one_finding_for_each_culprit(void **state)
{
	const struct finding *f;
	struct world w;

	(void)state;
	setup(&w);
	add(&w, &api, STALLS_NO_SCHED, 300, locked, ARRAY_SIZE(locked));
	add(&w, &api, STALLS_NO_SCHED, 120, plain, ARRAY_SIZE(plain));
	add(&w, &root, STALLS_NO_SCHED, 60, softirq, ARRAY_SIZE(softirq));
	scheduling_stall_judge(&w.facts, &w.result);
	assert_int_equal(w.result.findings.n, 2);
	f = &w.result.findings.items[0];
	assert_string_equal(f->reason, "SchedulingStall");
	assert_int_equal(f->severity, SEVERITY_CRITICAL);
	assert_string_equal(f->subject.pod, "api-0");
	assert_string_equal(evidence(f, "stalls"), "2");
	assert_string_equal(evidence(f, "together"), "420ms");
	assert_string_equal(evidence(f, "function"), "nft_rbtree_gc+0x4c [nf_tables]");
	assert_non_null(strstr(f->message, "native_queued_spin_lock_slowpath"));
	assert_string_equal(f->hints[0].id, "update-module");
	assert_non_null(strstr(f->hints[0].command, "modinfo nf_tables"));
	f = &w.result.findings.items[1];
	assert_null(f->subject.cgroup); /* the node's */
	assert_int_equal(f->severity, SEVERITY_WARNING);
	assert_string_equal(evidence(f, "kind"), "softirq");
	check_result_done(&w.result);
}

static void short_stalls_are_no_finding(void **state)
{
	struct world w;

	(void)state;
	setup(&w);
	add(&w, &api, STALLS_NO_SCHED, 49, plain, ARRAY_SIZE(plain));
	scheduling_stall_judge(&w.facts, &w.result);
	assert_int_equal(w.result.findings.n, 0);
	assert_int_equal(
		cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(w.result.result, "stalls")), 1);
	/* CPU 1 was in soft interrupts for 30 % of the window, CPU 0 in none. */
	assert_int_equal(
		cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(w.result.result, "cpus")), 1);
	check_result_done(&w.result);
}

static void steal_is_not_the_kernels_doing(void **state)
{
	struct world w;

	(void)state;
	setup(&w);
	add(&w, &api, STALLS_IRQ_OFF, 40, plain, ARRAY_SIZE(plain));
	scheduling_stall_judge(&w.facts, &w.result);
	assert_int_equal(w.result.findings.n, 1);
	assert_string_equal(w.result.findings.items[0].reason, "IrqOff");
	assert_string_equal(evidence(&w.result.findings.items[0], "kind"), "irq-off or steal");
	check_result_done(&w.result);
	w.cpus[1].stolen_ns = 40 * NSEC_PER_MSEC;
	memset(&w.result, 0, sizeof(w.result));
	scheduling_stall_judge(&w.facts, &w.result);
	assert_int_equal(w.result.findings.n, 0);
	check_result_done(&w.result);
}

static void readers_of_numa_stat_are_told(void **state)
{
	struct world w;

	(void)state;
	setup(&w);
	add(&w, &api, STALLS_NO_SCHED, 90, numa, ARRAY_SIZE(numa));
	scheduling_stall_judge(&w.facts, &w.result);
	assert_string_equal(w.result.findings.items[0].hints[0].id, "stop-numa-stat");
	check_result_done(&w.result);
}

/* Its process is not to be looked at, or to be stopped: it is this one. */
static void memdiag_itself_is_named(void **state)
{
	const struct finding *f;
	struct world w;

	(void)state;
	setup(&w);
	w.facts.self_pid = 77;
	w.spec.window_ms = 300000;
	add(&w, &api, STALLS_NO_SCHED, 90, numa, ARRAY_SIZE(numa));
	scheduling_stall_judge(&w.facts, &w.result);
	f = &w.result.findings.items[0];
	assert_non_null(strstr(f->message, "(memdiag itself, pid 77)"));
	assert_int_equal(f->n_hints, 1);
	assert_string_equal(f->hints[0].id, "observe-alone");
	assert_string_equal(f->hints[0].command,
			    "memdiag run --check SchedulingStall --window 600s");
	check_result_done(&w.result);
}

static void what_is_missing_is_told(void **state)
{
	struct world w;

	(void)state;
	setup(&w);
	w.facts.lost = 4;
	scheduling_stall_judge(&w.facts, &w.result);
	assert_string_equal(w.result.reason, "EventsLost");
	check_result_done(&w.result);
	memset(&w.result, 0, sizeof(w.result));
	w.facts.missing = "a clock event looks";
	scheduling_stall_judge(&w.facts, &w.result);
	assert_string_equal(w.result.reason, "LimitedByKernel");
	assert_int_equal(w.result.state, CHECK_COMPLETE);
	check_result_done(&w.result);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_interrupt_is_left_out),
		cmocka_unit_test(locks_are_named_apart),
		cmocka_unit_test(one_finding_for_each_culprit),
		cmocka_unit_test(short_stalls_are_no_finding),
		cmocka_unit_test(steal_is_not_the_kernels_doing),
		cmocka_unit_test(readers_of_numa_stat_are_told),
		cmocka_unit_test(memdiag_itself_is_named),
		cmocka_unit_test(what_is_missing_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
