/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "cmd/cmd.h"
#include "cmd/identity_args.h"
#include "report/render.h"
#include "report/report.h"
#include "run/run.h"

static const char help[] =
	"Usage: memdiag run [-f FILE] [OPTION]...\n\n"
	"Diagnoses this host now, without a cluster, and prints the report. Needs root, or "
	"CAP_BPF,\n"
	"CAP_PERFMON, CAP_SYSLOG, CAP_DAC_READ_SEARCH and CAP_SYS_PTRACE.\n\n"
	"  -f FILE               a MemoryDiagnosis in YAML or JSON, as kubectl apply takes it; - "
	"is stdin\n"
	"      --check TYPE      run this check; may be repeated. Default: all that this version "
	"has\n"
	"      --window TIME     how long captures last, 1s to 10m (default 30s); scans take no "
	"window\n"
	"      --top N           rows per list, 1 to 50 (default 10)\n"
	"      --cpu-budget TIME CPU time for all scans, 10ms to 5m (default 2s)\n"
	"  -o, --output FORMAT   table (default), json or yaml: one MemoryDiagnosisReport\n"
	"      --fail-on LEVEL   exit with 3 on findings of this severity: warning or critical\n"
	"      --node-name NAME  name of this node in the report (default: $NODE_NAME,\n"
	"                        else the hostname)\n"
	"      --proc DIR        the host's /proc (default /proc)\n"
	"      --cgroup-root DIR the host's cgroup mount (default: "
	"/host/sys/fs/cgroup,\n"
	"                        else /sys/fs/cgroup)\n" IDENTITY_HELP "  -h, --help\n\n"
	"Options win over the file. Exit status: 0 done; 1 a check failed, or none worked; 2 bad\n"
	"arguments or file; 3 --fail-on was reached. Flags in tables: S shared memory, D deleted,\n"
	"* removed cgroup that is still pinned.\n";

enum output { OUTPUT_TABLE, OUTPUT_JSON, OUTPUT_YAML };

struct run_args {
	const char *file;
	const char *node_name;
	struct host_paths paths;
	struct identity_args identity;
	enum output output;
	cJSON *spec; /* what options set, as spec fields */
	bool help;
};

enum {
	OPT_CHECK = 256,
	OPT_WINDOW,
	OPT_TOP,
	OPT_BUDGET,
	OPT_FAIL_ON,
	OPT_NODE,
	OPT_PROC,
	OPT_CGROUP
};

static const struct option options[] = {
	{"file", required_argument, NULL, 'f'},
	{"check", required_argument, NULL, OPT_CHECK},
	{"window", required_argument, NULL, OPT_WINDOW},
	{"top", required_argument, NULL, OPT_TOP},
	{"cpu-budget", required_argument, NULL, OPT_BUDGET},
	{"output", required_argument, NULL, 'o'},
	{"fail-on", required_argument, NULL, OPT_FAIL_ON},
	{"node-name", required_argument, NULL, OPT_NODE},
	{"proc", required_argument, NULL, OPT_PROC},
	{"cgroup-root", required_argument, NULL, OPT_CGROUP},
	{"help", no_argument, NULL, 'h'},
	IDENTITY_OPTIONS,
	{0},
};

/* The option's value becomes the spec's field, so that one decoder judges files and options. */
static void set_field(cJSON *spec, const char *name, cJSON *value)
{
	cJSON_DeleteItemFromObjectCaseSensitive(spec, name);
	cJSON_AddItemToObject(spec, name, value);
}

static void add_check(cJSON *spec, const char *type)
{
	cJSON *list = cJSON_GetObjectItemCaseSensitive(spec, "checks");

	if (!list)
		list = tree_add_array(spec, "checks");
	cJSON_AddStringToObject(tree_push_object(list), "type", type);
}

/* A number where it is one; else the text, for the decoder's message. */
static cJSON *number_or_text(const char *text)
{
	cJSON *value = cJSON_Parse(text);

	if (cJSON_IsNumber(value))
		return value;
	cJSON_Delete(value);
	return cJSON_CreateString(text);
}

static void set_fail_on(struct run_args *args, const char *text, struct faults *faults)
{
	if (strcmp(text, "warning") == 0)
		set_field(args->spec, "failOn", cJSON_CreateString("Warning"));
	else if (strcmp(text, "critical") == 0)
		set_field(args->spec, "failOn", cJSON_CreateString("Critical"));
	else
		faults_add(faults, "--fail-on", text, "must be warning or critical");
}

static void set_output(struct run_args *args, const char *text, struct faults *faults)
{
	static const char *const names[] = {"table", "json", "yaml"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (strcmp(text, names[i]) == 0) {
			args->output = (enum output)i;
			return;
		}
	}
	faults_add(faults, "--output", text, "must be table, json or yaml");
}

static int parse_option(struct run_args *args, int c, struct faults *faults)
{
	switch (c) {
	case 'f':
		args->file = optarg;
		break;
	case 'o':
		set_output(args, optarg, faults);
		break;
	case 'h':
		args->help = true;
		break;
	case OPT_CHECK:
		add_check(args->spec, optarg);
		break;
	case OPT_WINDOW:
		set_field(args->spec, "window", cJSON_CreateString(optarg));
		break;
	case OPT_TOP:
		set_field(args->spec, "top", number_or_text(optarg));
		break;
	case OPT_BUDGET:
		set_field(args->spec, "cpuBudget", cJSON_CreateString(optarg));
		break;
	case OPT_FAIL_ON:
		set_fail_on(args, optarg, faults);
		break;
	case OPT_NODE:
		args->node_name = optarg;
		break;
	case OPT_PROC:
		args->paths.proc = optarg;
		break;
	case OPT_CGROUP:
		args->paths.cgroup = optarg;
		break;
	default:
		/* getopt has said why it is none of ours. */
		return identity_args_parse(&args->identity, c, optarg) ? 0 : -EINVAL;
	}
	return 0;
}

static int parse_args(int argc, char **argv, struct run_args *args, struct faults *faults)
{
	int c;

	while ((c = getopt_long(argc, argv, "f:o:h", options, NULL)) != -1) {
		if (parse_option(args, c, faults) < 0)
			return -EINVAL;
	}
	if (optind < argc)
		faults_add(faults, "argument", argv[optind], "run takes options only");
	return faults->n > 0 ? -EINVAL : 0;
}

/* The file's document, or an empty one, with the options' fields over it. */
static int make_spec(const struct run_args *args, struct spec **ret, struct faults *faults)
{
	_cleanup_tree_ cJSON *doc = NULL;
	cJSON *spec, *item;

	if (args->file) {
		if (spec_load_file(args->file, &doc, faults) < 0)
			return -EINVAL;
	} else {
		doc = cJSON_CreateObject();
		tree_add_str(doc, "apiVersion", SPEC_API_VERSION);
		tree_add_str(doc, "kind", SPEC_KIND);
	}
	spec = cJSON_GetObjectItemCaseSensitive(doc, "spec");
	if (cJSON_IsObject(doc) && (!spec || cJSON_IsNull(spec))) {
		cJSON_DeleteItemFromObjectCaseSensitive(doc, "spec");
		spec = tree_add_object(doc, "spec");
	}
	if (cJSON_IsObject(spec)) {
		cJSON_ArrayForEach (item, args->spec) {
			set_field(spec, item->string, cJSON_Duplicate(item, true));
		}
	}
	return spec_decode(doc, SPEC_FROM_FILE, ret, faults);
}

struct progress {
	uint64_t start_ns;
	bool shown;
};

/* A line on stderr once the work takes over a second; rewritten in place on a terminal, not at all elsewhere. */
static void on_progress(void *arg, const char *what, unsigned int permille)
{
	struct progress *progress = arg;

	if (clock_mono_ns() - progress->start_ns < NSEC_PER_SEC || !isatty(STDERR_FILENO))
		return;
	(void)fprintf(stderr, "\robserving %s: %u %% ", what, permille / 10);
	progress->shown = true;
}

static int print_report(const cJSON *tree, enum output output)
{
	_cleanup_buf_ struct buf text = BUF_INIT((size_t)16 << 20);
	int r = 0;

	if (output == OUTPUT_JSON) {
		_cleanup_free_ char *json = tree_print_json(tree, true);

		r = buf_printf(&text, "%s\n", json);
	} else if (output == OUTPUT_YAML) {
		r = tree_print_yaml(tree, &text);
	} else {
		r = render_report(tree, &text);
	}
	if (r < 0 || fwrite(text.data, 1, text.len, stdout) != text.len || fflush(stdout) != 0)
		return -EIO;
	return 0;
}

static int exit_status(const struct report *report, const struct spec *spec)
{
	bool failed = strcmp(report_verdict(report), "Error") == 0;

	for (size_t i = 0; i < report->n_results; i++)
		failed |= report->results[i].state == CHECK_FAILED;
	if (failed)
		return EXIT_CHECK_FAILED;
	if (spec->fail_on != SEVERITY_NONE && report->findings.n > 0 &&
	    report->findings.items[0].severity >= spec->fail_on)
		return EXIT_FAIL_ON;
	return EXIT_DONE;
}

static int diagnose(struct run_args *args, const struct spec *spec)
{
	__attribute__((cleanup(report_cleanup))) struct report *report = NULL;
	_cleanup_host_ struct host host = HOST_INIT;
	struct progress progress = {.start_ns = clock_mono_ns()};
	struct run_opts opts = {
		.host = &host, .stop_fd = -1, .progress = on_progress, .arg = &progress};
	_cleanup_tree_ cJSON *tree = NULL;
	struct err err = {0};

	if (host_open(&host, &args->paths, args->node_name, &err) < 0 ||
	    identity_args_open(&args->identity, &err) < 0) {
		(void)fprintf(stderr, "memdiag: %s\n", err.msg);
		return EXIT_CHECK_FAILED;
	}
	opts.identity = identity_args_opts(&args->identity);
	report = run_execute(spec, &opts);
	if (progress.shown)
		(void)fprintf(stderr, "\n");
	tree = report_to_tree(report);
	if (identity_args_done(&args->identity, &err) < 0)
		(void)fprintf(stderr, "memdiag: %s\n", err.msg);
	if (print_report(tree, args->output) < 0) {
		(void)fprintf(stderr, "memdiag: cannot write the report to standard output\n");
		return EXIT_CHECK_FAILED;
	}
	return exit_status(report, spec);
}

int cmd_run(int argc, char **argv)
{
	_cleanup_faults_ struct faults faults = {0};
	_cleanup_spec_ struct spec *spec = NULL;
	struct run_args args = {.paths = cmd_default_paths(), .node_name = getenv("NODE_NAME")};
	int status = EXIT_USAGE;

	args.spec = cJSON_CreateObject();
	if (parse_args(argc, argv, &args, &faults) == 0) {
		if (args.help) {
			(void)fputs(help, stdout);
			status = EXIT_DONE;
		} else if (make_spec(&args, &spec, &faults) == 0) {
			/* A schedule or TTL means nothing here: the file is run once. */
			status = diagnose(&args, spec);
		}
	}
	cmd_print_faults(&faults);
	(void)identity_args_done(&args.identity, NULL);
	cJSON_Delete(args.spec);
	return status;
}
