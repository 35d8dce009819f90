// SPDX-License-Identifier: GPL-2.0-or-later
/* Out-of-line copies of static inlines and macros, and module parameters. No logic. */
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/pkt_sched.h>
#include "shim.h"

/* --- deferred release -------------------------------------------------------------------- */

static struct workqueue_struct *kg_wq;

static void kg_deferred_run(struct work_struct *work)
{
	struct kg_deferred *d = container_of(work, struct kg_deferred, work);

	d->fn(d);
}

int kg_deferred_init(void)
{
	kg_wq = alloc_workqueue("drbd_release", WQ_UNBOUND | WQ_MEM_RECLAIM, 0);
	return kg_wq ? 0 : -ENOMEM;
}

void kg_deferred_exit(void)
{
	destroy_workqueue(kg_wq);
}

void kg_defer(struct kg_deferred *d, void (*fn)(struct kg_deferred *d))
{
	d->fn = fn;
	INIT_WORK(&d->work, kg_deferred_run);
	queue_work(kg_wq, &d->work);
}

bool kg_may_sleep(void) { return preemptible() && !rcu_preempt_depth(); }
bool kg_current_is_kthread(void) { return current->flags & PF_KTHREAD; }
bool kg_in_hardirq(void) { return in_hardirq(); }
bool kg_in_softirq(void) { return in_serving_softirq(); }

int kg_cpumask_parse(const char *text, struct cpumask *mask) { return cpumask_parse(text, mask); }
bool kg_cpumask_any_online(const struct cpumask *mask)
{
	return cpumask_intersects(mask, cpu_online_mask);
}
void kg_set_cpus_allowed(struct task_struct *task, const struct cpumask *mask)
{
	set_cpus_allowed_ptr(task, mask ?: cpu_possible_mask);
}

/* --- memory ------------------------------------------------------------------------------ */

unsigned int kg_memalloc_noio_save(void) { return memalloc_noio_save(); }
void kg_memalloc_noio_restore(unsigned int flags) { memalloc_noio_restore(flags); }
unsigned int kg_memalloc_noreclaim_save(void) { return memalloc_noreclaim_save(); }
void kg_memalloc_noreclaim_restore(unsigned int flags) { memalloc_noreclaim_restore(flags); }
void *kg_page_address(struct page *page) { return page_address(page); }
unsigned int kg_page_order(struct page *page) { return compound_order(page); }
/* A single page that nobody else refers to. */
bool kg_page_is_plain(struct page *page) { return !PageHead(page) && page_count(page) == 1; }
u64 kg_now_ms(void) { return jiffies64_to_msecs(get_jiffies_64()); }
bool kg_wait_has_sleeper(struct wait_queue_head *head) { return wq_has_sleeper(head); }

/* --- block ------------------------------------------------------------------------------- */

sector_t kg_bdev_nr_sectors(struct block_device *bdev) { return bdev_nr_sectors(bdev); }
dev_t kg_bdev_dev(struct block_device *bdev) { return bdev->bd_dev; }
void kg_bdev_name(struct block_device *bdev, char *buf, size_t len)
{
	snprintf(buf, len, "%pg", bdev);
}
bool kg_bdev_read_only(struct block_device *bdev) { return bdev_read_only(bdev); }
const struct queue_limits *kg_bdev_limits(struct block_device *bdev)
{
	return bdev_limits(bdev);
}
bool kg_bdev_rotational(struct block_device *bdev) { return bdev_rot(bdev); }
bool kg_bdev_write_cache(struct block_device *bdev) { return bdev_write_cache(bdev); }
bool kg_bdev_fua(struct block_device *bdev) { return bdev_fua(bdev); }

void kg_queue_limits_start_update(struct request_queue *q, struct queue_limits *lim)
{
	*lim = queue_limits_start_update(q);
}

void kg_bio_end_io_acct(struct bio *bio, unsigned long start) { bio_end_io_acct(bio, start); }

/* Once, by the only owner: from here on kg_bio_ref() and bio_endio() count. */
void kg_bio_make_counted(struct bio *bio)
{
	bio_set_flag(bio, BIO_CHAIN);
	smp_mb__before_atomic();
}

void kg_bio_ref(struct bio *bio) { atomic_inc(&bio->__bi_remaining); }

/* one step of bio_for_each_segment(): single-page vectors */
bool kg_bio_next_segment(struct bio *bio, struct bvec_iter *it, struct bio_vec *bv)
{
	if (!it->bi_size)
		return false;
	*bv = bio_iter_iovec(bio, *it);
	bio_advance_iter_single(bio, it, bv->bv_len);
	return true;
}

/* as for an iov_iter of vectors: they belong to somebody else */
void kg_bio_set_bvecs(struct bio *bio, struct bio_vec *table, unsigned int size)
{
	bio->bi_io_vec = table;
	bio->bi_iter.bi_idx = 0;
	bio->bi_iter.bi_offset = 0;
	bio->bi_iter.bi_size = size;
	bio_set_flag(bio, BIO_CLONED);
}

bool kg_bio_sendpage_ok(struct bio *bio)
{
	struct bvec_iter it = bio->bi_iter;
	struct bio_vec bv;

	while (kg_bio_next_segment(bio, &it, &bv))
		if (!sendpage_ok(bv.bv_page))
			return false;
	return true;
}

void kg_iov_iter_bio(struct iov_iter *iter, unsigned int direction, struct bio *bio, size_t from)
{
	const struct bio_vec *first = bio->bi_io_vec + bio->bi_iter.bi_idx;
	size_t total = bio->bi_iter.bi_offset + bio->bi_iter.bi_size;
	size_t seen = 0;
	unsigned long n = 0;

	while (seen < total)
		seen += first[n++].bv_len;
	iov_iter_bvec(iter, direction, first, n, total);
	iov_iter_advance(iter, bio->bi_iter.bi_offset + from);
}

void *kg_kmap_segment(const struct bio_vec *bv) { return bvec_kmap_local((struct bio_vec *)bv); }
void kg_kunmap_segment(const void *addr) { kunmap_local(addr); }
int kg_disk_freeze(struct gendisk *disk) { return bdev_freeze(disk->part0); }
int kg_disk_thaw(struct gendisk *disk) { return bdev_thaw(disk->part0); }
void kg_disk_get(struct gendisk *disk) { get_device(disk_to_dev(disk)); }
bool kg_disk_was_added(struct gendisk *disk) { return test_bit(GD_ADDED, &disk->state); }

/* --- sockets ----------------------------------------------------------------------------- */

void kg_sk_set_interactive(struct socket *sock, bool interactive)
{
	WRITE_ONCE(sock->sk->sk_priority,
		   interactive ? TC_PRIO_INTERACTIVE : TC_PRIO_INTERACTIVE_BULK);
}

void kg_sk_setup(struct socket *sock, int sndbuf, int rcvbuf, bool interactive)
{
	struct sock *sk = sock->sk;

	sk->sk_allocation = GFP_NOIO;
	sk->sk_use_task_frag = false;
	sk->sk_reuse = SK_CAN_REUSE;
	kg_sk_set_interactive(sock, interactive);
	if (sndbuf) {
		WRITE_ONCE(sk->sk_sndbuf, sndbuf);
		sk->sk_userlocks |= SOCK_SNDBUF_LOCK;
	}
	if (rcvbuf) {
		WRITE_ONCE(sk->sk_rcvbuf, rcvbuf);
		sk->sk_userlocks |= SOCK_RCVBUF_LOCK;
	}
}

void kg_sk_set_sndtimeo(struct socket *sock, long timeo)
{
	WRITE_ONCE(sock->sk->sk_sndtimeo, timeo);
}

void kg_sk_set_rcvtimeo(struct socket *sock, long timeo)
{
	WRITE_ONCE(sock->sk->sk_rcvtimeo, timeo);
}

int kg_sk_sndbuf(struct socket *sock) { return READ_ONCE(sock->sk->sk_sndbuf); }
int kg_sk_wmem_queued(struct socket *sock) { return READ_ONCE(sock->sk->sk_wmem_queued); }
bool kg_sk_established(struct socket *sock)
{
	return READ_ONCE(sock->sk->sk_state) == TCP_ESTABLISHED;
}

void kg_sk_keepalive(struct socket *sock, int idle, int intvl, int cnt)
{
	sock_set_keepalive(sock->sk);
	tcp_sock_set_keepidle(sock->sk, idle);
	tcp_sock_set_keepintvl(sock->sk, intvl);
	tcp_sock_set_keepcnt(sock->sk, cnt);
}

int kg_sk_abort(struct socket *sock) { return tcp_abort(sock->sk, ECONNABORTED); }

u32 kg_bvecs_csum(u32 crc, const struct bio_vec *bv, unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n; i++)
		crc = crc32c(crc, page_address(bv[i].bv_page) + bv[i].bv_offset, bv[i].bv_len);
	return crc;
}

bool kg_sendpage_ok(struct page *page) { return sendpage_ok(page); }

/* --- time -------------------------------------------------------------------------------- */

long kg_ms_to_jiffies(unsigned int ms) { return msecs_to_jiffies(ms); }
void kg_timer_arm(struct timer_list *timer, unsigned int ms)
{
	mod_timer(timer, jiffies + msecs_to_jiffies(ms));
}

/* --- generic netlink --------------------------------------------------------------------- */

int kg_genlmsg_reply(struct sk_buff *skb, struct genl_info *info)
{
	return genlmsg_reply(skb, info);
}

int kg_genlmsg_multicast(const struct genl_family *family, struct sk_buff *skb)
{
	return genlmsg_multicast_netns(family, &init_net, skb, 0, 0, GFP_NOIO);
}

bool kg_genl_has_listeners(const struct genl_family *family)
{
	return genl_has_listeners(family, &init_net, 0);
}

bool kg_skb_append(struct sk_buff *skb, const void *data, unsigned int len)
{
	if (skb_tailroom(skb) < NLMSG_ALIGN(len))
		return false;
	skb_put_data(skb, data, len);
	skb_put_zero(skb, NLMSG_ALIGN(len) - len);
	return true;
}

u32 kg_cb_portid(struct netlink_callback *cb) { return NETLINK_CB(cb->skb).portid; }
long *kg_cb_args(struct netlink_callback *cb) { return cb->args; }
const struct genl_family *kg_cb_family(struct netlink_callback *cb)
{
	return genl_info_dump(cb)->family;
}
bool kg_in_init_net(struct sk_buff *skb) { return net_eq(sock_net(skb->sk), &init_net); }

/* --- hashes ------------------------------------------------------------------------------ */

unsigned int kg_shash_digestsize(struct crypto_shash *t) { return crypto_shash_digestsize(t); }
unsigned int kg_shash_descsize(struct crypto_shash *t)
{
	return sizeof(struct shash_desc) + crypto_shash_descsize(t);
}
void kg_shash_free(struct crypto_shash *t) { crypto_free_shash(t); }
int kg_shash_init(struct crypto_shash *t, void *desc)
{
	struct shash_desc *d = desc;

	d->tfm = t;
	return crypto_shash_init(d);
}
int kg_shash_update(void *desc, const u8 *data, unsigned int len)
{
	return crypto_shash_update(desc, data, len);
}
int kg_shash_final(void *desc, u8 *out) { return crypto_shash_final(desc, out); }

/* --- proc, parameters, modinfo ----------------------------------------------------------- */

struct proc_dir_entry *kg_proc_create_single(const char *name,
		int (*show)(struct seq_file *, void *), void *data)
{
	return proc_create_single_data(name, 0444, NULL, show, data);
}

static unsigned int minor_count = 32;
module_param(minor_count, uint, 0444);
MODULE_PARM_DESC(minor_count, "Approximate number of drbd devices (1U-255U)");
static unsigned int api_version = 2;
module_param(api_version, uint, 0444);
MODULE_PARM_DESC(api_version, "Control interface: 2 for drbd-utils 9, 1 for the 8.4 tools");
static unsigned int protocol_version_min = 86;
module_param(protocol_version_min, uint, 0444);
MODULE_PARM_DESC(protocol_version_min, "Lowest network protocol version to accept");
static bool strict_names = true;
module_param(strict_names, bool, 0644);
MODULE_PARM_DESC(strict_names, "Restrict resource and connection names to safe characters");
static bool disable_sendpage;
module_param(disable_sendpage, bool, 0644);
MODULE_PARM_DESC(disable_sendpage, "Copy payload into the socket instead of handing over pages");
static char usermode_helper[80] = "/sbin/drbdadm";
module_param_string(usermode_helper, usermode_helper, sizeof(usermode_helper), 0644);
MODULE_PARM_DESC(usermode_helper, "Program run on events, or \"disabled\"");

unsigned int kg_param_minor_count(void) { return READ_ONCE(minor_count); }
unsigned int kg_param_api_version(void) { return READ_ONCE(api_version); }
unsigned int kg_param_protocol_version_min(void) { return READ_ONCE(protocol_version_min); }
bool kg_param_strict_names(void) { return READ_ONCE(strict_names); }
bool kg_param_disable_sendpage(void) { return READ_ONCE(disable_sendpage); }

void kg_param_usermode_helper(char *buf, size_t len)
{
	kernel_param_lock(THIS_MODULE);
	strscpy(buf, usermode_helper, len);
	kernel_param_unlock(THIS_MODULE);
}

#ifdef DRBD_SELFTEST
static char selftest[80];
module_param_string(selftest, selftest, sizeof(selftest), 0444);
MODULE_PARM_DESC(selftest, "Block device that the self-test overwrites");
void kg_param_selftest(char *buf, size_t len) { strscpy(buf, selftest, len); }
#endif

/* modinfo of all objects of a composite module is merged */
MODULE_VERSION("9.90.0");
MODULE_ALIAS_BLOCKDEV_MAJOR(147);
MODULE_ALIAS_GENL_FAMILY("drbd");
