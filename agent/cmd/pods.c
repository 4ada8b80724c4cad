/* SPDX-License-Identifier: Apache-2.0 */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/num.h"
#include "base/text.h"
#include "base/tree.h"
#include "cmd/cmd.h"
#include "cmd/identity_args.h"
#include "identity/pods.h"
#include "instruments/host.h"

static const char help[] =
	"Usage: memdiag pods [OPTION]...\n\n"
	"Lists the memory cgroups of this node that belong to pods: whose each is, and who says "
	"so.\n"
	"SOURCE is cri (the container runtime), kubelet, history (the pod is gone) or cgroup (the "
	"path\n"
	"alone, which holds no names).\n\n"
	"  -o, --output FORMAT     table (default) or json\n"
	"      --units             also the cgroups of systemd units\n"
	"      --proc DIR          the host's /proc (default /proc)\n"
	"      --cgroup-root DIR   the host's cgroup mount (default: "
	"/host/sys/fs/cgroup,\n"
	"                          else /sys/fs/cgroup)\n" IDENTITY_HELP "  -h, --help\n";

struct pods_args {
	struct identity_args identity;
	struct host_paths paths;
	bool json, units, help;
};

static cJSON *to_tree(const struct pods *pods, bool units)
{
	cJSON *tree = cJSON_CreateObject(), *list;
	char id[24];

	tree_add_str(tree, "runtime", pods->runtime);
	tree_add_str(tree, "runtimeProblem", pods->runtime_problem);
	tree_add_str(tree, "kubeletProblem", pods->kubelet_problem);
	tree_add_u64(tree, "dropped", pods->dropped);
	list = tree_add_array(tree, "pods");
	for (size_t i = 0; i < pods->n; i++) {
		const struct pod_cgroup *item = &pods->items[i];
		_cleanup_free_ char *path = text_escape_name(item->cgroup, strlen(item->cgroup));
		cJSON *row;

		if (item->name.kind == CGROUP_KIND_UNIT && !units)
			continue;
		row = tree_push_object(list);
		(void)snprintf(id, sizeof(id), "%" PRIu64, item->cgroup_id);
		tree_add_str(row, "cgroup", path);
		tree_add_str(row, "cgroupID", id);
		tree_add_str(row, "namespace", item->ns);
		tree_add_str(row, "pod", item->pod);
		tree_add_str(row, "container", item->container);
		tree_add_str(row, "podUID", item->pod_uid);
		tree_add_str(row, "containerID", item->name.container_id);
		tree_add_str(row, "qosClass", item->name.qos);
		tree_add_str(row, "unit", item->name.unit);
		if (item->memory_request_bytes)
			tree_add_u64(row, "memoryRequestBytes", item->memory_request_bytes);
		if (item->memory_limit_bytes)
			tree_add_u64(row, "memoryLimitBytes", item->memory_limit_bytes);
		tree_add_str(row, "source", pod_source_names[item->source]);
	}
	return tree;
}

/* A text of at most width characters, padded. */
static void put_cell(const char *text, size_t width)
{
	_cleanup_free_ char *cell = text_plain(text ? text : "", text ? strlen(text) : 0);

	text_shorten_middle(cell, width);
	(void)printf("%-*s  ", (int)width, cell);
}

static void print_table(const struct pods *pods, bool units)
{
	char limit[NUM_TEXT_MAX];

	(void)printf("%-16s  %-26s  %-18s  %-10s  %6s  %s\n", "NAMESPACE", "POD", "CONTAINER",
		     "QOS", "LIMIT", "SOURCE");
	for (size_t i = 0; i < pods->n; i++) {
		const struct pod_cgroup *item = &pods->items[i];
		bool unit = item->name.kind == CGROUP_KIND_UNIT;

		if (unit && !units)
			continue;
		put_cell(unit ? "(host)" : item->ns, 16);
		put_cell(unit ? item->name.unit : item->pod ? item->pod : item->pod_uid, 26);
		put_cell(item->container ? item->container : item->name.container_id, 18);
		(void)printf("%-10s  %6s  %s\n", item->name.qos ? item->name.qos : "",
			     item->memory_limit_bytes
				     ? num_format_bytes(item->memory_limit_bytes, limit)
				     : "",
			     pod_source_names[item->source]);
	}
	if (pods->runtime_problem)
		(void)fprintf(stderr, "memdiag: names are missing: %s\n", pods->runtime_problem);
	if (pods->kubelet_problem)
		(void)fprintf(stderr, "memdiag: the kubelet's part is missing: %s\n",
			      pods->kubelet_problem);
	if (pods->dropped)
		(void)fprintf(stderr,
			      "memdiag: %" PRIu64 " cgroups or containers beyond the ceiling\n",
			      pods->dropped);
}

static int list_pods(struct pods_args *args, struct err *err)
{
	_cleanup_host_ struct host host = HOST_INIT;
	struct identity_opts opts;
	struct pods_opts pods_opts;
	struct pods *pods = NULL;
	int r = host_open(&host, &args->paths, NULL, err);

	if (r == 0)
		r = identity_args_open(&args->identity, err);
	if (r < 0)
		return r;
	opts = identity_args_opts(&args->identity);
	pods_opts = (struct pods_opts){&host, opts.cri_socket, opts.kubelet, opts.history};
	r = pods_read(&pods_opts, &pods, err);
	if (r < 0)
		return r;
	if (args->json) {
		_cleanup_tree_ cJSON *tree = to_tree(pods, args->units);
		_cleanup_free_ char *json = tree_print_json(tree, true);

		(void)printf("%s\n", json);
	} else {
		print_table(pods, args->units);
	}
	pods_free(pods);
	return 0;
}

static int parse_option(struct pods_args *args, int c)
{
	switch (c) {
	case 'o':
		args->json = strcmp(optarg, "json") == 0;
		if (args->json || strcmp(optarg, "table") == 0)
			return 0;
		(void)fprintf(stderr, "memdiag: --output: \"%s\": must be table or json\n", optarg);
		return -1;
	case 'u':
		args->units = true;
		return 0;
	case 'p':
		args->paths.proc = optarg;
		return 0;
	case 'g':
		args->paths.cgroup = optarg;
		return 0;
	case 'h':
		args->help = true;
		return 0;
	default:
		return identity_args_parse(&args->identity, c, optarg) ? 0 : -1;
	}
}

int cmd_pods(int argc, char **argv)
{
	static const struct option options[] = {
		{"output", required_argument, NULL, 'o'},
		{"units", no_argument, NULL, 'u'},
		{"proc", required_argument, NULL, 'p'},
		{"cgroup-root", required_argument, NULL, 'g'},
		{"help", no_argument, NULL, 'h'},
		IDENTITY_OPTIONS,
		{0},
	};
	struct pods_args args = {.paths = cmd_default_paths()};
	struct err err = {0};
	int c, r;

	while ((c = getopt_long(argc, argv, "o:h", options, NULL)) != -1) {
		if (parse_option(&args, c) < 0)
			return EXIT_USAGE;
	}
	if (args.help)
		return fputs(help, stdout) < 0 ? EXIT_CHECK_FAILED : EXIT_DONE;
	if (optind < argc) {
		(void)fprintf(stderr, "memdiag: argument: \"%s\": pods takes options only\n",
			      argv[optind]);
		return EXIT_USAGE;
	}
	r = list_pods(&args, &err);
	if (r == 0)
		r = identity_args_done(&args.identity, &err);
	else
		(void)identity_args_done(&args.identity, NULL);
	if (r < 0)
		(void)fprintf(stderr, "memdiag: %s\n", err.msg);
	return r < 0 ? EXIT_CHECK_FAILED : EXIT_DONE;
}
