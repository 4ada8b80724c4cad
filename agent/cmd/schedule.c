/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/num.h"
#include "cmd/cmd.h"
#include "controller/cron.h"

static const char help[] =
	"Usage: memdiag schedule [OPTION]... EXPRESSION\n\n"
	"Prints when a spec.schedule will run next, in UTC and in its time zone. With \"-\": "
	"answers\n"
	"each line EXPRESSION<TAB>ZONE<TAB>UNIX-TIME of standard input with the Unix time that\n"
	"follows, never, or refused.\n\n"
	"      --time-zone ZONE           as spec.timeZone: an IANA name (default UTC)\n"
	"      --zoneinfo DIR             where the zones are (default " TZ_FOLDER ")\n"
	"      --after TIME               instead of now, such as 2026-10-24T00:00:00Z\n"
	"      --count N                  how many times, 1 to 1000 (default 5)\n"
	"  -h, --help\n";

struct schedule_args {
	const char *zone, *folder;
	int64_t after;
	uint64_t count;
};

enum { OPT_ZONE = 256, OPT_FOLDER, OPT_AFTER, OPT_COUNT };

static int fault(const char *field, const char *value, const char *text)
{
	(void)fprintf(stderr, "memdiag: %s: \"%s\": %s\n", field, value, text);
	return EXIT_USAGE;
}

/* 2026-10-25 02:30:00 +0200 */
static void print_wall(const struct tz *zone, int64_t at)
{
	int32_t offset = tz_offset(zone, at);
	struct tz_wall wall;

	tz_to_wall(zone, at, &wall);
	(void)printf("%04" PRId64 "-%02d-%02d %02d:%02d:%02d %c%02d%02d\n", wall.year, wall.month,
		     wall.day, wall.hour, wall.minute, wall.second, offset < 0 ? '-' : '+',
		     abs(offset) / 3600, abs(offset) / 60 % 60);
}

static int print_times(const struct schedule_args *args, const char *expression)
{
	_cleanup_tz_ struct tz *zone = NULL;
	int64_t at = args->after;
	char text[CLOCK_TEXT_MAX];
	struct err err = {0};
	struct cron cron;

	if (cron_parse(expression, &cron, &err) < 0) {
		(void)fprintf(stderr, "memdiag: spec.schedule: %s\n", err.msg);
		return EXIT_USAGE;
	}
	if (tz_load(args->folder, args->zone, &zone, &err) < 0)
		return fault("--time-zone", args->zone, err.msg);
	for (uint64_t i = 0; i < args->count && cron_next(&cron, zone, at, &at); i++) {
		(void)printf("%s  ", clock_format_rfc3339((time_t)at, text));
		print_wall(zone, at);
	}
	return EXIT_DONE;
}

static void answer(const struct schedule_args *args, char *line)
{
	const char *expression = strsep(&line, "\t"), *name = strsep(&line, "\t");
	_cleanup_tz_ struct tz *zone = NULL;
	struct cron cron;
	uint64_t after;
	int64_t at;

	if (!name || !line || num_u64(line, 0, INT64_MAX / 2, &after) < 0 ||
	    cron_parse(expression, &cron, NULL) < 0 || tz_load(args->folder, name, &zone, NULL) < 0)
		(void)printf("refused\n");
	else if (cron_next(&cron, zone, (int64_t)after, &at))
		(void)printf("%" PRId64 "\n", at);
	else
		(void)printf("never\n");
}

static int answer_lines(const struct schedule_args *args)
{
	_cleanup_free_ char *line = NULL;
	size_t cap = 0;
	ssize_t n;

	while ((n = getline(&line, &cap, stdin)) > 0) {
		if (line[n - 1] == '\n')
			line[n - 1] = '\0';
		answer(args, line);
	}
	return EXIT_DONE;
}

int cmd_schedule(int argc, char **argv)
{
	static const struct option options[] = {
		{"time-zone", required_argument, NULL, OPT_ZONE},
		{"zoneinfo", required_argument, NULL, OPT_FOLDER},
		{"after", required_argument, NULL, OPT_AFTER},
		{"count", required_argument, NULL, OPT_COUNT},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	struct schedule_args args = {"UTC", TZ_FOLDER, time(NULL), 5};
	int c;

	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (c == 'h')
			return fputs(help, stdout) < 0 ? EXIT_CHECK_FAILED : EXIT_DONE;
		if (c == OPT_ZONE)
			args.zone = optarg;
		else if (c == OPT_FOLDER)
			args.folder = optarg;
		else if (c == OPT_AFTER && clock_parse_rfc3339(optarg, &args.after) < 0)
			return fault("--after", optarg,
				     "must be a time such as 2026-10-24T00:00:00Z");
		else if (c == OPT_COUNT && num_u64(optarg, 1, 1000, &args.count) < 0)
			return fault("--count", optarg, "must be a whole number from 1 to 1000");
		else if (c == '?')
			return EXIT_USAGE;
	}
	if (optind + 1 != argc) {
		(void)fputs("memdiag: schedule takes one cron expression, in quotes\n", stderr);
		return EXIT_USAGE;
	}
	return strcmp(argv[optind], "-") == 0 ? answer_lines(&args)
					      : print_times(&args, argv[optind]);
}
