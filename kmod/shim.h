/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Input of bindgen. Holds only what kernel::bindings lacks:
 *  - prototypes of the wrappers in shim.c around static inlines and macros,
 *  - constants that bindgen cannot evaluate because of casts,
 *  - headers whose exported functions Kbuild allow-lists.
 */
#ifndef DRBD_SHIM_H
#define DRBD_SHIM_H

#include <linux/blkdev.h>
#include <linux/bio.h>
#include <linux/cpumask.h>
#include <linux/crc32.h>
#include <linux/kthread.h>
#include <linux/mempool.h>
#include <linux/proc_fs.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/seq_file.h>
#include <linux/tcp.h>
#include <linux/timer.h>
#include <linux/umh.h>
#include <linux/workqueue.h>
#include <net/genetlink.h>
#include <net/sock.h>
#include <net/tcp.h>
#include <crypto/hash.h>

const blk_opf_t RUST_CONST_HELPER_REQ_FUA = REQ_FUA;
const blk_opf_t RUST_CONST_HELPER_REQ_PREFLUSH = REQ_PREFLUSH;
const blk_opf_t RUST_CONST_HELPER_REQ_SYNC = REQ_SYNC;
const blk_opf_t RUST_CONST_HELPER_REQ_META = REQ_META;
const blk_opf_t RUST_CONST_HELPER_REQ_PRIO = REQ_PRIO;
const blk_opf_t RUST_CONST_HELPER_REQ_RAHEAD = REQ_RAHEAD;
const blk_opf_t RUST_CONST_HELPER_REQ_NOUNMAP = REQ_NOUNMAP;
const blk_opf_t RUST_CONST_HELPER_REQ_OP_MASK = REQ_OP_MASK;
const blk_features_t RUST_CONST_HELPER_BLK_FEAT_WRITE_CACHE = BLK_FEAT_WRITE_CACHE;
const blk_features_t RUST_CONST_HELPER_BLK_FEAT_FUA = BLK_FEAT_FUA;
const blk_features_t RUST_CONST_HELPER_BLK_FEAT_STABLE_WRITES = BLK_FEAT_STABLE_WRITES;
const blk_features_t RUST_CONST_HELPER_BLK_FEAT_NOWAIT = BLK_FEAT_NOWAIT;
const blk_features_t RUST_CONST_HELPER_BLK_FEAT_POLL = BLK_FEAT_POLL;
const blk_features_t RUST_CONST_HELPER_BLK_FEAT_DAX = BLK_FEAT_DAX;
const blk_features_t RUST_CONST_HELPER_BLK_FEAT_ZONED = BLK_FEAT_ZONED;
const blk_features_t RUST_CONST_HELPER_BLK_FEAT_ATOMIC_WRITES = BLK_FEAT_ATOMIC_WRITES;
const blk_status_t RUST_CONST_HELPER_BLK_STS_IOERR = BLK_STS_IOERR;
const blk_status_t RUST_CONST_HELPER_BLK_STS_NOTSUPP = BLK_STS_NOTSUPP;
const blk_status_t RUST_CONST_HELPER_BLK_STS_NOSPC = BLK_STS_NOSPC;
const blk_status_t RUST_CONST_HELPER_BLK_STS_MEDIUM = BLK_STS_MEDIUM;
const blk_status_t RUST_CONST_HELPER_BLK_STS_TIMEOUT = BLK_STS_TIMEOUT;
const blk_status_t RUST_CONST_HELPER_BLK_STS_AGAIN = BLK_STS_AGAIN;
const blk_status_t RUST_CONST_HELPER_BLK_STS_RESOURCE = BLK_STS_RESOURCE;
const blk_mode_t RUST_CONST_HELPER_BLK_OPEN_READ = BLK_OPEN_READ;
const blk_mode_t RUST_CONST_HELPER_BLK_OPEN_WRITE = BLK_OPEN_WRITE;
const unsigned int RUST_CONST_HELPER_BLKDEV_ZERO_NOUNMAP = BLKDEV_ZERO_NOUNMAP;
const gfp_t RUST_CONST_HELPER_GFP_NOIO = GFP_NOIO;
const gfp_t RUST_CONST_HELPER___GFP_NORETRY = __GFP_NORETRY;
const gfp_t RUST_CONST_HELPER___GFP_COMP = __GFP_COMP;
const gfp_t RUST_CONST_HELPER___GFP_DIRECT_RECLAIM = __GFP_DIRECT_RECLAIM;
const unsigned int RUST_CONST_HELPER_PAGE_SIZE = PAGE_SIZE;
const long RUST_CONST_HELPER_HZ = HZ;
const long RUST_CONST_HELPER_MAX_SCHEDULE_TIMEOUT = MAX_SCHEDULE_TIMEOUT;

/*
 * A thing whose release sleeps, dropped where sleeping is forbidden: released later by a work
 * item. `fn` owns the structure once it runs.
 */
struct kg_deferred {
	struct work_struct work;
	void (*fn)(struct kg_deferred *d);
};

int kg_deferred_init(void);
void kg_deferred_exit(void);
void kg_defer(struct kg_deferred *d, void (*fn)(struct kg_deferred *d));
bool kg_may_sleep(void);
bool kg_current_is_kthread(void);
int kg_cpumask_parse(const char *text, struct cpumask *mask);
bool kg_cpumask_any_online(const struct cpumask *mask);
void kg_set_cpus_allowed(struct task_struct *task, const struct cpumask *mask);
bool kg_in_hardirq(void);
bool kg_in_softirq(void);

/* memory */
unsigned int kg_memalloc_noio_save(void);
void kg_memalloc_noio_restore(unsigned int flags);
unsigned int kg_memalloc_noreclaim_save(void);
void kg_memalloc_noreclaim_restore(unsigned int flags);
void *kg_page_address(struct page *page);
unsigned int kg_page_order(struct page *page);
bool kg_page_is_plain(struct page *page);
u64 kg_now_ms(void);
bool kg_wait_has_sleeper(struct wait_queue_head *head);

/* block */
sector_t kg_bdev_nr_sectors(struct block_device *bdev);
dev_t kg_bdev_dev(struct block_device *bdev);
void kg_bdev_name(struct block_device *bdev, char *buf, size_t len);
bool kg_bdev_read_only(struct block_device *bdev);
const struct queue_limits *kg_bdev_limits(struct block_device *bdev);
bool kg_bdev_rotational(struct block_device *bdev);
bool kg_bdev_write_cache(struct block_device *bdev);
bool kg_bdev_fua(struct block_device *bdev);
void kg_queue_limits_start_update(struct request_queue *q, struct queue_limits *lim);
void kg_bio_end_io_acct(struct bio *bio, unsigned long start);
void kg_bio_make_counted(struct bio *bio);
void kg_bio_ref(struct bio *bio);
bool kg_bio_next_segment(struct bio *bio, struct bvec_iter *it, struct bio_vec *bv);
void kg_bio_set_bvecs(struct bio *bio, struct bio_vec *table, unsigned int size);
bool kg_bio_sendpage_ok(struct bio *bio);
void kg_iov_iter_bio(struct iov_iter *iter, unsigned int direction, struct bio *bio, size_t from);
void *kg_kmap_segment(const struct bio_vec *bv);
void kg_kunmap_segment(const void *addr);
int kg_disk_freeze(struct gendisk *disk);
int kg_disk_thaw(struct gendisk *disk);
void kg_disk_get(struct gendisk *disk);
bool kg_disk_was_added(struct gendisk *disk);

/* struct sock is opaque in kernel::bindings */
void kg_sk_setup(struct socket *sock, int sndbuf, int rcvbuf, bool interactive);
void kg_sk_set_interactive(struct socket *sock, bool interactive);
void kg_sk_set_sndtimeo(struct socket *sock, long timeo);
void kg_sk_set_rcvtimeo(struct socket *sock, long timeo);
int kg_sk_sndbuf(struct socket *sock);
int kg_sk_wmem_queued(struct socket *sock);
bool kg_sk_established(struct socket *sock);
void kg_sk_keepalive(struct socket *sock, int idle, int intvl, int cnt);
int kg_sk_abort(struct socket *sock);
u32 kg_bvecs_csum(u32 crc, const struct bio_vec *bv, unsigned int n);
bool kg_sendpage_ok(struct page *page);

/* time */
long kg_ms_to_jiffies(unsigned int ms);
void kg_timer_arm(struct timer_list *timer, unsigned int ms);

/* generic netlink */
int kg_genlmsg_reply(struct sk_buff *skb, struct genl_info *info);
int kg_genlmsg_multicast(const struct genl_family *family, struct sk_buff *skb);
bool kg_genl_has_listeners(const struct genl_family *family);
bool kg_skb_append(struct sk_buff *skb, const void *data, unsigned int len);
u32 kg_cb_portid(struct netlink_callback *cb);
long *kg_cb_args(struct netlink_callback *cb);
const struct genl_family *kg_cb_family(struct netlink_callback *cb);
bool kg_in_init_net(struct sk_buff *skb);

/* hashes */
unsigned int kg_shash_digestsize(struct crypto_shash *t);
unsigned int kg_shash_descsize(struct crypto_shash *t);
void kg_shash_free(struct crypto_shash *t);
int kg_shash_init(struct crypto_shash *t, void *desc);
int kg_shash_update(void *desc, const u8 *data, unsigned int len);
int kg_shash_final(void *desc, u8 *out);

/* proc, parameters */
struct proc_dir_entry *kg_proc_create_single(const char *name,
		int (*show)(struct seq_file *, void *), void *data);
unsigned int kg_param_minor_count(void);
unsigned int kg_param_api_version(void);
unsigned int kg_param_protocol_version_min(void);
bool kg_param_strict_names(void);
bool kg_param_disable_sendpage(void);
void kg_param_usermode_helper(char *buf, size_t len);
void kg_param_selftest(char *buf, size_t len);

#endif
