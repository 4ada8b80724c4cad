/* SPDX-License-Identifier: Apache-2.0 */
/* What a container runtime's replies decode to: gRPC's frame and status, CRI's messages. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "identity/cri_internal.h"
#include "identity/grpc_frame.h"
#include "support/cri_recorded.h"

/* --- protobuf by hand: what a real runtime would not send ------------------------------------------------------------- */

static void put_varint(struct buf *out, uint64_t number)
{
	uint8_t byte;

	do {
		byte = (uint8_t)(number & 0x7f) | (number > 0x7f ? 0x80 : 0);
		assert_int_equal(buf_append(out, &byte, 1), 0);
		number >>= 7;
	} while (number > 0);
}

static void put_number(struct buf *out, unsigned int field, uint64_t value)
{
	put_varint(out, field << 3);
	put_varint(out, value);
}

static void put_bytes(struct buf *out, unsigned int field, const void *data, size_t n)
{
	put_varint(out, field << 3 | 2);
	put_varint(out, n);
	assert_int_equal(buf_append(out, data, n), 0);
}

static void put_str(struct buf *out, unsigned int field, const char *s)
{
	put_bytes(out, field, s, strlen(s));
}

static struct cri_snapshot *new_snapshot(void)
{
	return xcalloc(1, sizeof(struct cri_snapshot));
}

/* --- the recorded replies --------------------------------------------------------------------------------------------- */

static void test_version(void **state)
{
	struct cri_snapshot *s = new_snapshot();

	(void)state;
	assert_int_equal(cri_decode_version(recorded_version, sizeof(recorded_version), s, NULL),
			 0);
	assert_string_equal(s->runtime, "containerd 1.6.20~ds1");
	cri_snapshot_free(s);
}

static void test_version_is_made_plain(void **state)
{
	struct cri_snapshot *s = new_snapshot();
	_cleanup_buf_ struct buf m = BUF_INIT(4096);
	_cleanup_free_ char *long_name = xmalloc(301);

	(void)state;
	memset(long_name, 'x', 300);
	long_name[300] = '\0';
	long_name[0] = '\n';
	put_str(&m, 2, long_name);
	assert_int_equal(cri_decode_version(m.data, m.len, s, NULL), 0);
	assert_memory_equal(s->runtime, "\\x0axxx", 7);
	assert_true(strlen(s->runtime) <= 128);
	cri_snapshot_free(s);
}

static void test_sandboxes(void **state)
{
	struct cri_snapshot *s = new_snapshot();

	(void)state;
	assert_int_equal(
		cri_decode_sandboxes(recorded_sandboxes, sizeof(recorded_sandboxes), s, NULL), 0);
	assert_int_equal(s->n_sandboxes, 1);
	assert_string_equal(s->sandboxes[0].id, RECORDED_SANDBOX);
	assert_string_equal(s->sandboxes[0].name, "web-0");
	assert_string_equal(s->sandboxes[0].ns, "shop");
	assert_string_equal(s->sandboxes[0].uid, "3f1c2a5e-7b64-4a55-9d0c-1e2f3a4b5c6d");
	assert_true(s->sandboxes[0].ready);
	assert_string_equal(cJSON_GetStringValue(tree_member(s->sandboxes[0].labels, "app")),
			    "web");
	assert_string_equal(cJSON_GetStringValue(tree_member(s->sandboxes[0].labels, "empty")), "");
	assert_string_equal(
		cJSON_GetStringValue(tree_member(s->sandboxes[0].labels, "io.kubernetes.pod.name")),
		"web-0");
	assert_int_equal(s->dropped, 0);
	cri_snapshot_free(s);
}

static void test_containers(void **state)
{
	struct cri_snapshot *s = new_snapshot();

	(void)state;
	assert_int_equal(
		cri_decode_containers(recorded_containers, sizeof(recorded_containers), s, NULL),
		0);
	assert_int_equal(s->n_containers, 2);
	assert_string_equal(s->containers[0].id, RECORDED_CONTAINER);
	assert_string_equal(s->containers[0].sandbox_id, RECORDED_SANDBOX);
	assert_string_equal(s->containers[0].name, "app");
	assert_int_equal(s->containers[0].state, CRI_RUNNING);
	assert_true(s->containers[0].created_ns > 1700000000000000000ULL);
	assert_string_equal(s->containers[1].name, "done");
	assert_int_equal(s->containers[1].state, CRI_EXITED);
	cri_snapshot_free(s);
}

static void test_mounts(void **state)
{
	struct cri_mount *mounts;
	size_t n;

	(void)state;
	assert_int_equal(
		cri_decode_mounts(recorded_status, sizeof(recorded_status), &mounts, &n, NULL), 0);
	assert_int_equal(n, 2);
	assert_string_equal(mounts[0].container_path, "/data");
	assert_memory_equal(mounts[0].host_path, "/tmp/", 5);
	assert_string_equal(mounts[1].container_path, "/scratch");
	assert_string_equal(mounts[1].host_path, "/tmp");
	cri_mounts_free(mounts, n);
	/* No status, and nothing at all. */
	assert_int_equal(cri_decode_mounts("", 0, &mounts, &n, NULL), 0);
	assert_int_equal(n, 0);
	cri_mounts_free(mounts, n);
	cri_mounts_free(NULL, 0);
}

/* An exact copy on the heap, so that AddressSanitizer sees a read beyond the end. */
static int decode_as(int which, const uint8_t *data, size_t n)
{
	_cleanup_free_ uint8_t *copy = xmalloc(n);
	struct cri_snapshot *s = new_snapshot();
	struct cri_mount *mounts = NULL;
	size_t n_mounts = 0;
	struct err err = {0};
	int r;

	memcpy(copy, data, n);
	switch (which) {
	case 0:
		r = cri_decode_version(copy, n, s, &err);
		break;
	case 1:
		r = cri_decode_sandboxes(copy, n, s, &err);
		break;
	case 2:
		r = cri_decode_containers(copy, n, s, &err);
		break;
	default:
		r = cri_decode_mounts(copy, n, &mounts, &n_mounts, &err);
	}
	assert_true(r == 0 || r == -EPROTO);
	assert_int_equal(err.code, -r);
	cri_mounts_free(mounts, n_mounts);
	cri_snapshot_free(s);
	return r;
}

static void test_cut_everywhere(void **state)
{
	static const struct {
		const uint8_t *data;
		size_t n;
	} recorded[] = {
		{recorded_version, sizeof(recorded_version)},
		{recorded_sandboxes, sizeof(recorded_sandboxes)},
		{recorded_containers, sizeof(recorded_containers)},
		{recorded_status, sizeof(recorded_status)},
	};

	(void)state;
	for (int which = 0; which < 4; which++) {
		size_t whole = 0;

		for (size_t n = 0; n <= recorded[which].n; n++)
			whole += decode_as(which, recorded[which].data, n) == 0;
		/* Only between two fields of the outermost message is what is left a message. */
		assert_true(whole >= 2 && whole < 8);
		assert_int_equal(decode_as(which, recorded[which].data, recorded[which].n), 0);
	}
}

/* --- replies no runtime of today sends -------------------------------------------------------------------------------- */

static void test_unknown_fields(void **state)
{
	struct cri_snapshot *s = new_snapshot();
	_cleanup_buf_ struct buf c = BUF_INIT(4096), m = BUF_INIT(4096);

	(void)state;
	put_str(&c, 1, "id");
	put_number(&c, 99, 1ULL << 63);
	put_str(&c, 2047, "text");
	put_varint(&c, 100 << 3 | 1);
	assert_int_equal(buf_append(&c, "12345678", 8), 0);
	put_varint(&c, 101 << 3 | 5);
	assert_int_equal(buf_append(&c, "1234", 4), 0);
	put_number(&c, 6, 77); /* a state of a newer CRI */
	put_number(&m, 500, 1);
	put_bytes(&m, 1, c.data, c.len);
	put_str(&m, 501, "x");
	assert_int_equal(cri_decode_containers(m.data, m.len, s, NULL), 0);
	assert_int_equal(s->n_containers, 1);
	assert_string_equal(s->containers[0].id, "id");
	assert_int_equal(s->containers[0].state, CRI_UNKNOWN);
	/* No metadata, no sandbox: empty, not missing. */
	assert_string_equal(s->containers[0].name, "");
	assert_string_equal(s->containers[0].sandbox_id, "");
	cri_snapshot_free(s);
}

static void test_wrong_wire_types(void **state)
{
	_cleanup_buf_ struct buf m = BUF_INIT(4096);
	struct cri_snapshot *s = new_snapshot();
	struct err err;

	(void)state;
	/* A number where a message belongs, at each level. */
	put_number(&m, 1, 7);
	assert_int_equal(cri_decode_containers(m.data, m.len, s, &err), -EPROTO);
	assert_non_null(strstr(err.msg, "ListContainersResponse"));
	assert_null(s->containers);
	assert_int_equal(cri_decode_sandboxes(m.data, m.len, s, &err), -EPROTO);
	assert_int_equal(cri_decode_version("\x10\x07", 2, s, &err), -EPROTO);
	assert_null(s->runtime);
	/* A string where a number belongs; wire type 7, which is none; a length beyond the end; an endless varint. */
	assert_int_equal(cri_decode_containers("\x0a\x03\x32\x01x", 5, s, NULL), -EPROTO);
	assert_int_equal(cri_decode_containers("\x0f\x01", 2, s, NULL), -EPROTO);
	assert_int_equal(cri_decode_containers("\x0a\xff\xff\xff\xff\x0f", 6, s, NULL), -EPROTO);
	assert_int_equal(
		cri_decode_containers("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 11, s, NULL),
		-EPROTO);
	cri_snapshot_free(s);
}

static void test_foreign_label(void **state)
{
	_cleanup_buf_ struct buf label = BUF_INIT(64), pod = BUF_INIT(64), m = BUF_INIT(64);
	struct cri_snapshot *s = new_snapshot();

	(void)state;
	put_str(&label, 1, "a\xff");
	put_str(&label, 2, "b\n");
	put_bytes(&pod, 5, label.data, label.len);
	put_number(&pod, 3, 1);
	put_bytes(&m, 1, pod.data, pod.len);
	assert_int_equal(cri_decode_sandboxes(m.data, m.len, s, NULL), 0);
	assert_false(s->sandboxes[0].ready);
	assert_string_equal(s->sandboxes[0].name, "");
	assert_string_equal(cJSON_GetStringValue(tree_member(s->sandboxes[0].labels, "a\\xff")),
			    "b\\x0a");
	cri_snapshot_free(s);
}

static void test_ceiling(void **state)
{
	_cleanup_buf_ struct buf m = BUF_INIT(1 << 20);
	struct cri_snapshot *s = new_snapshot();

	(void)state;
	/* 5000, the last ten of which run. */
	for (int i = 0; i < 5000; i++) {
		_cleanup_buf_ struct buf c = BUF_INIT(64);

		put_str(&c, 1, i < 4990 ? "old" : "runs");
		put_number(&c, 6, i < 4990 ? CRI_EXITED : CRI_RUNNING);
		put_bytes(&m, 1, c.data, c.len);
	}
	assert_int_equal(cri_decode_containers(m.data, m.len, s, NULL), 0);
	assert_int_equal(s->n_containers, CRI_MAX_CONTAINERS);
	assert_int_equal(s->dropped, 5000 - CRI_MAX_CONTAINERS);
	assert_string_equal(s->containers[0].id, "runs");
	assert_string_equal(s->containers[9].id, "runs");
	assert_string_equal(s->containers[10].id, "old");
	/* As pods: the first field is the id there as well. */
	assert_int_equal(cri_decode_sandboxes(m.data, m.len, s, NULL), 0);
	assert_int_equal(s->n_sandboxes, CRI_MAX_CONTAINERS);
	assert_int_equal(s->dropped, 2 * (5000 - CRI_MAX_CONTAINERS));
	cri_snapshot_free(s);
}

static void test_memory_bomb(void **state)
{
	/* Two bytes each on the wire, over a hundred decoded: 8 million of them would take a gigabyte. */
	size_t n = CRI_MAX_REPLY;
	_cleanup_free_ uint8_t *data = xcalloc(n, 1);
	struct cri_snapshot *s = new_snapshot();
	struct err err;

	(void)state;
	for (size_t i = 0; i < n; i += 2)
		data[i] = 0x0a;
	assert_int_equal(cri_decode_containers(data, n, s, &err), -EFBIG);
	assert_non_null(strstr(err.msg, "64 MiB"));
	assert_null(s->containers);
	cri_snapshot_free(s);
}

/* --- gRPC's frame and status ------------------------------------------------------------------------------------------ */

static void test_frame(void **state)
{
	static const uint8_t one[] = {0, 0, 0, 0, 3, 'a', 'b', 'c', 0};
	static const uint8_t long_one[] = {0, 4, 0, 0, 0};
	uint8_t prefix[GRPC_PREFIX];
	struct err err;

	(void)state;
	for (size_t n = 0; n < 8; n++)
		assert_int_equal(grpc_frame_check(one, n, 3, &err), 1);
	assert_int_equal(grpc_frame_check(one, 8, 3, &err), 0);
	assert_int_equal(grpc_frame_check(one, 9, 3, &err), -EPROTO);
	assert_int_equal(grpc_frame_check(one, 5, 2, &err), -EFBIG);
	assert_int_equal(grpc_frame_check("\1", 1, 3, &err), -EPROTO);
	assert_int_equal(grpc_frame_check("<html>", 6, 3, &err), -EPROTO);
	assert_int_equal(grpc_frame_check("\0\0\0\0\0", 5, 3, &err), 0);
	/* 64 MiB: refused by its length, before a byte of it has come. */
	assert_int_equal(grpc_frame_check(long_one, 5, CRI_MAX_REPLY, &err), -EFBIG);
	assert_non_null(strstr(err.msg, "67108864"));
	grpc_prefix_write(prefix, 0x01020304);
	assert_memory_equal(prefix, "\0\1\2\3\4", 5);
}

static struct grpc_status status_of(const char *line)
{
	struct grpc_status status = {.code = GRPC_STATUS_NONE};

	grpc_status_line(&status, line, strlen(line));
	return status;
}

static void test_status(void **state)
{
	(void)state;
	assert_int_equal(status_of("grpc-status: 0\r\n").code, GRPC_OK);
	assert_int_equal(status_of("Grpc-Status:5").code, GRPC_NOT_FOUND);
	assert_int_equal(status_of("grpc-status: \t16 \r\n").code, GRPC_UNAUTHENTICATED);
	assert_int_equal(status_of("grpc-status: 77\r\n").code, 77);
	/* No code is a failure, not success. */
	assert_int_equal(status_of("grpc-status:\r\n").code, 2);
	assert_int_equal(status_of("grpc-status: abc\r\n").code, 2);
	assert_int_equal(status_of("grpc-status: -1\r\n").code, 2);
	assert_int_equal(status_of("grpc-status: 00000000000000000\r\n").code, 2);
	assert_int_equal(status_of("grpc-statusx: 0\r\n").code, GRPC_STATUS_NONE);
	assert_int_equal(status_of("grpc-status").code, GRPC_STATUS_NONE);
	assert_int_equal(status_of("").code, GRPC_STATUS_NONE);
	assert_string_equal(status_of("grpc-message: a b%3A %e4%BD%A0\r\n").message,
			    "a b: \xe4\xbd\xa0");
	/* What is not an escape stays; NUL does not come through. */
	assert_string_equal(status_of("grpc-message: 100% of %4 %zz%").message, "100% of %4 %zz%");
	assert_string_equal(status_of("grpc-message: a%00b").message, "a%00b");
	assert_string_equal(grpc_code_name(5), "NOT_FOUND");
	assert_string_equal(grpc_code_name(16), "UNAUTHENTICATED");
	assert_string_equal(grpc_code_name(17), "UNKNOWN");
	assert_string_equal(grpc_code_name(-1), "UNKNOWN");
}

static void test_long_message(void **state)
{
	struct grpc_status status = {.code = GRPC_STATUS_NONE};
	char line[4096];

	(void)state;
	memset(line, 'm', sizeof(line));
	memcpy(line, "grpc-message: ", 14);
	grpc_status_line(&status, line, sizeof(line));
	assert_int_equal(strlen(status.message), GRPC_MESSAGE_MAX - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_version),	       cmocka_unit_test(test_version_is_made_plain),
		cmocka_unit_test(test_sandboxes),      cmocka_unit_test(test_containers),
		cmocka_unit_test(test_mounts),	       cmocka_unit_test(test_cut_everywhere),
		cmocka_unit_test(test_unknown_fields), cmocka_unit_test(test_wrong_wire_types),
		cmocka_unit_test(test_foreign_label),  cmocka_unit_test(test_ceiling),
		cmocka_unit_test(test_memory_bomb),    cmocka_unit_test(test_frame),
		cmocka_unit_test(test_status),	       cmocka_unit_test(test_long_message),
	};

	tree_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
