// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A TCG plugin of QEMU that counts how often each translated block of the
 * guest is executed, in a file that whoever started QEMU may read at any time.
 *
 *   -plugin file=count.so,out=FILE
 *
 * The file holds a struct table. Blocks of the guest's kernel (upper half of
 * the address space) have a record each, for as long as QEMU runs and however
 * often they are translated; blocks of its programs share one for each length,
 * with address 0.
 *
 * Distributions do not ship QEMU's header with QEMU, so the few functions that
 * are needed, which are the same in all versions so far, are declared here.
 * The interface's number is not: DRBD_PLUGIN_API is 1 for QEMU before 9.0, and
 * 2 since.
 */

#include <fcntl.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
struct qemu_info_t;

typedef void (*tb_translated)(qemu_plugin_id_t id, struct qemu_plugin_tb *tb);
typedef void (*tb_executed)(unsigned int vcpu, void *data);

enum { CB_NO_REGS = 0 };

extern void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id, tb_translated call);
extern void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *tb, tb_executed call,
						 int flags, void *data);
extern size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
extern uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *tb);

EXPORT int qemu_plugin_version = DRBD_PLUGIN_API;

/* The same numbers are in qemu/src/counting.rs. */
#define MAGIC 0x31746e6364627264ull /* "drbdcnt1" */
#define RECORDS (1u << 20)
#define SLOTS (2u * RECORDS)

struct record {
	uint64_t address;
	uint64_t instructions;
	uint64_t runs;
};

struct table {
	uint64_t magic;
	/* Records in use; they never move. */
	uint64_t used;
	/* Translated blocks for which no record was left. */
	uint64_t lost;
	struct record records[RECORDS];
};

static struct table *table;
/* Number of a record + 1 by what it is about, 0 for none. */
static uint32_t slots[SLOTS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static struct record *find(uint64_t address, uint64_t instructions)
{
	uint64_t hash = (address ^ instructions << 48) * 0x9e3779b97f4a7c15ull;
	uint32_t at = (uint32_t)(hash >> 32) % SLOTS;

	for (; slots[at]; at = (at + 1) % SLOTS) {
		struct record *known = &table->records[slots[at] - 1];

		if (known->address == address && known->instructions == instructions)
			return known;
	}
	if (table->used == RECORDS) {
		table->lost++;
		return NULL;
	}
	struct record *fresh = &table->records[table->used];

	fresh->address = address;
	fresh->instructions = instructions;
	slots[at] = (uint32_t)table->used + 1;
	/* A reader sees a record only when it is complete. */
	__atomic_store_n(&table->used, table->used + 1, __ATOMIC_RELEASE);
	return fresh;
}

static void executed(unsigned int vcpu, void *data)
{
	(void)vcpu;
	__atomic_fetch_add(&((struct record *)data)->runs, 1, __ATOMIC_RELAXED);
}

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
	uint64_t address = qemu_plugin_tb_vaddr(tb);
	struct record *record;

	(void)id;
	pthread_mutex_lock(&lock);
	record = find(address >> 63 ? address : 0, qemu_plugin_tb_n_insns(tb));
	pthread_mutex_unlock(&lock);
	if (record)
		qemu_plugin_register_vcpu_tb_exec_cb(tb, executed, CB_NO_REGS, record);
}

EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const struct qemu_info_t *info, int argc, char **argv)
{
	int file;

	(void)info;
	if (argc != 1 || strncmp(argv[0], "out=", 4)) {
		fprintf(stderr, "count: wants out=FILE\n");
		return -1;
	}
	file = open(argv[0] + 4, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (file < 0 || ftruncate(file, sizeof(*table))) {
		perror(argv[0]);
		return -1;
	}
	table = mmap(NULL, sizeof(*table), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	close(file);
	if (table == MAP_FAILED) {
		perror("count: mmap");
		return -1;
	}
	table->magic = MAGIC;
	qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
	return 0;
}
