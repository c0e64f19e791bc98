/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Wires with a length: what comes out of one switch's port goes into another's a propagation delay
 * later. One process serves all cables of a lab. A cable has two ends here, each the far side of a
 * veth pair whose near side is a switch's port:
 *
 *   switch A's port ── end ═══ (delay) ═══ end ── switch B's port
 *
 * Frames wait in the receive ring of the end that they came in by, with the time that the kernel
 * stamped on them, and are sent from there: nothing is copied and the ring is the bound. A port
 * that is lowered takes the carrier of the other one with it, as with a real cable; states set in
 * the shared file cut a cable loudly (both lose carrier) or silently (frames vanish). The shared
 * file (topologies/lab/wire.py has the layout) also holds the counters.
 *
 * SIGUSR1: look at the states. It ends on SIGTERM, or with whoever started it.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define MAGIC 0x46535457u
#define MAX_ENDS 1024
#define SLOT 2048
#define BLOCK 16384
#define BATCH 64
#define VLAN_BYTES 4
#define MACS 12
/* frames due so soon go out together; a look around is not taken more often than that */
#define EARLY_NS 150000LL
#define STEP_NS 500000LL
#define LATE_NS 1000000LL
#define NICENESS -20

enum state { STATE_UP, STATE_DOWN, STATE_SILENT };

struct header {
	uint32_t magic, ends;
	volatile uint32_t ready, unused;
};

struct end {
	char ifname[16], port[16];
	int64_t delay_ns;
	uint32_t other, frames;
	volatile uint32_t state;
	uint32_t unused;
	uint64_t forwarded, bytes, silenced, cut, overflowed, too_long, late, late_ns, late_max_ns;
};

struct side {
	int fd, lowered;
	uint32_t head, frames;
	uint8_t *ring;
};

static struct header *head;
static struct end *ends;
static struct side sides[MAX_ENDS];
static int control_socket;

static void die(const char *what)
{
	fprintf(stderr, "wire: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* The kernel's stamps are of this clock. */
static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static struct tpacket2_hdr *slot(struct side *side, uint32_t at)
{
	return (void *)(side->ring + (size_t)at * SLOT);
}

static int is_filled(struct tpacket2_hdr *frame)
{
	return __atomic_load_n(&frame->tp_status, __ATOMIC_ACQUIRE) & TP_STATUS_USER;
}

static uint32_t after(struct side *side, uint32_t at)
{
	return at + 1 == side->frames ? 0 : at + 1;
}

static void release(struct side *side, uint32_t slots)
{
	for (; slots; slots--) {
		__atomic_store_n(&slot(side, side->head)->tp_status, TP_STATUS_KERNEL,
				 __ATOMIC_RELEASE);
		side->head = after(side, side->head);
	}
}

static void open_side(struct end *end, struct side *side)
{
	struct sockaddr_ll link = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
	struct tpacket_req ring = {.tp_block_size = BLOCK, .tp_frame_size = SLOT};
	int version = TPACKET_V2, reserve = VLAN_BYTES, one = 1, size = 4 << 20;
	const uint32_t per_block = BLOCK / SLOT;

	ring.tp_block_nr = (end->frames + per_block - 1) / per_block;
	ring.tp_frame_nr = ring.tp_block_nr * per_block;
	side->frames = ring.tp_frame_nr;
	/* no protocol yet: it hears nothing until it is bound */
	side->fd = socket(AF_PACKET, SOCK_RAW, 0);
	if (side->fd < 0 ||
	    setsockopt(side->fd, SOL_PACKET, PACKET_VERSION, &version, sizeof(version)) ||
	    setsockopt(side->fd, SOL_PACKET, PACKET_RESERVE, &reserve, sizeof(reserve)) ||
	    setsockopt(side->fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one)) ||
	    setsockopt(side->fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) ||
	    setsockopt(side->fd, SOL_PACKET, PACKET_RX_RING, &ring, sizeof(ring)))
		die("packet socket");
	side->ring = mmap(NULL, (size_t)ring.tp_block_nr * BLOCK, PROT_READ | PROT_WRITE,
			  MAP_SHARED, side->fd, 0);
	if (side->ring == MAP_FAILED)
		die("receive ring");
	link.sll_ifindex = if_nametoindex(end->ifname);
	if (!link.sll_ifindex || bind(side->fd, (struct sockaddr *)&link, sizeof(link)))
		die(end->ifname);
}

static short flags_of(const char *ifname)
{
	struct ifreq request = {0};

	memcpy(request.ifr_name, ifname, sizeof(request.ifr_name));
	return ioctl(control_socket, SIOCGIFFLAGS, &request) ? 0 : request.ifr_flags;
}

static void raise_or_lower(const char *ifname, int up)
{
	struct ifreq request = {0};

	memcpy(request.ifr_name, ifname, sizeof(request.ifr_name));
	if (ioctl(control_socket, SIOCGIFFLAGS, &request))
		return;
	request.ifr_flags = up ? request.ifr_flags | IFF_UP : request.ifr_flags & ~IFF_UP;
	ioctl(control_socket, SIOCSIFFLAGS, &request);
}

/* An end is up while its cable is whole and the port at the other end is up. */
static void look_at_states(void)
{
	for (uint32_t i = 0; i < head->ends; i++) {
		struct end *end = &ends[i], *other = &ends[end->other];
		int lower = end->state == STATE_DOWN || other->state == STATE_DOWN ||
			    !(flags_of(other->port) & IFF_UP);

		if (lower == !(flags_of(end->ifname) & IFF_UP) && lower == sides[i].lowered)
			continue;
		sides[i].lowered = lower;
		raise_or_lower(end->ifname, !lower);
	}
	/* a socket whose interface went down says so until it was asked */
	for (uint32_t i = 0; i < head->ends; i++) {
		int error;
		socklen_t size = sizeof(error);

		getsockopt(sides[i].fd, SOL_SOCKET, SO_ERROR, &error, &size);
	}
}

/* Tags are beside the frame when it is received; they belong into it. */
static uint8_t *whole(struct tpacket2_hdr *frame, uint32_t *size)
{
	uint8_t *data = (uint8_t *)frame + frame->tp_mac;
	uint16_t tag[2];

	*size = frame->tp_snaplen;
	if (!(frame->tp_status & TP_STATUS_VLAN_VALID))
		return data;
	memmove(data - VLAN_BYTES, data, MACS);
	tag[0] = htons(frame->tp_status & TP_STATUS_VLAN_TPID_VALID ? frame->tp_vlan_tpid
								    : ETHERTYPE_VLAN);
	tag[1] = htons(frame->tp_vlan_tci);
	memcpy(data - VLAN_BYTES + MACS, tag, sizeof(tag));
	*size += VLAN_BYTES;
	return data - VLAN_BYTES;
}

static void note_lateness(struct end *end, int64_t by_ns)
{
	uint64_t late = by_ns > 0 ? (uint64_t)by_ns : 0;

	end->late_ns += late;
	end->late += late > LATE_NS;
	if (late > end->late_max_ns)
		end->late_max_ns = late;
}

static void note_overflow(struct end *end, struct side *side)
{
	struct tpacket_stats lost;
	socklen_t size = sizeof(lost);

	if (!getsockopt(side->fd, SOL_PACKET, PACKET_STATISTICS, &lost, &size))
		end->overflowed += lost.tp_drops;
}

/* Whether a frame comes through; where not, it is counted why. */
static int passes(struct end *end, struct side *side, struct side *far, struct tpacket2_hdr *frame)
{
	if (frame->tp_status & TP_STATUS_LOSING)
		note_overflow(end, side);
	if (end->state == STATE_SILENT)
		end->silenced++;
	else if (side->lowered || far->lowered)
		end->cut++;
	else if (frame->tp_len > frame->tp_snaplen)
		end->too_long++;
	else
		return 1;
	return 0;
}

static void send_all(struct end *end, struct side *far, struct mmsghdr *messages, uint32_t count)
{
	uint32_t done = 0;

	while (done < count) {
		int sent = sendmmsg(far->fd, messages + done, count - done, MSG_DONTWAIT);

		if (sent > 0) {
			end->forwarded += sent;
			done += sent;
		} else if (errno != EINTR) {
			/* the port is gone or full: this one is lost, as on a cable */
			end->cut++;
			done++;
		}
	}
}

/* Send out what is due at one end; return when the next frame is, 0 for an empty wire. */
static int64_t forward(uint32_t number, int64_t now)
{
	static struct mmsghdr messages[BATCH];
	static struct iovec parts[BATCH];
	struct end *end = &ends[number];
	struct side *side = &sides[number], *far = &sides[end->other];
	uint32_t most = side->frames < BATCH ? side->frames : BATCH, taken, count, at;
	int64_t due;

	do {
		due = 0;
		at = side->head;
		for (taken = count = 0; taken < most; taken++) {
			struct tpacket2_hdr *frame = slot(side, at);
			uint32_t size;

			if (!is_filled(frame))
				break;
			due = frame->tp_sec * 1000000000LL + frame->tp_nsec + end->delay_ns;
			/* a clock that was set back must not hold frames for ever */
			if (due > now + EARLY_NS && due <= now + end->delay_ns)
				break;
			at = after(side, at);
			if (passes(end, side, far, frame)) {
				parts[count].iov_base = whole(frame, &size);
				parts[count].iov_len = size;
				messages[count].msg_hdr.msg_iov = &parts[count];
				messages[count].msg_hdr.msg_iovlen = 1;
				end->bytes += size;
				note_lateness(end, now - due);
				count++;
			}
			due = 0;
		}
		send_all(end, far, messages, count);
		release(side, taken);
	} while (taken == most);
	return due;
}

/* Forward what is due; return how long nothing will be, -1 for until something arrives. */
static int64_t forward_all(void)
{
	int64_t now = now_ns(), next = INT64_MAX, quiet = INT64_MAX;
	int busy = 0;

	for (uint32_t i = 0; i < head->ends; i++) {
		int64_t due = forward(i, now);

		if (due) {
			busy = 1;
			next = due < next ? due : next;
		} else if (ends[i].delay_ns < quiet) {
			quiet = ends[i].delay_ns;
		}
	}
	if (!busy)
		return -1;
	/* what arrives meanwhile at an empty end is due after that end's delay, not before */
	now = now_ns();
	if (quiet < INT64_MAX && now + quiet < next)
		next = now + quiet;
	return next - now < STEP_NS ? STEP_NS : next - now;
}

static int add(int poller, int fd)
{
	struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

	return epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event);
}

/* News of interfaces and signals; what they say is looked up, so that none is missed. */
static void take_news(int signals, int links)
{
	struct signalfd_siginfo info;
	char news[16384];

	while (recv(links, news, sizeof(news), MSG_DONTWAIT) > 0 || errno == ENOBUFS)
		;
	while (read(signals, &info, sizeof(info)) == sizeof(info))
		if (info.ssi_signo != SIGUSR1)
			exit(0);
	look_at_states();
}

/*
 * Before all others, but not of the real-time class: such a process pays no heed to where the
 * others run, and would take the processor that Open vSwitch is on.
 */
static void go_first(void)
{
	setpriority(PRIO_PROCESS, 0, NICENESS);
	prctl(PR_SET_TIMERSLACK, 1UL);
}

static void open_shared(const char *path)
{
	struct stat info;
	uint8_t *base;
	int file = open(path, O_RDWR);

	if (file < 0 || fstat(file, &info))
		die(path);
	base = mmap(NULL, (size_t)info.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	if (base == MAP_FAILED)
		die(path);
	head = (void *)base;
	ends = (void *)(head + 1);
	if ((size_t)info.st_size < sizeof(*head) || head->magic != MAGIC || !head->ends ||
	    head->ends > MAX_ENDS ||
	    (size_t)info.st_size < sizeof(*head) + head->ends * sizeof(*ends)) {
		fprintf(stderr, "wire: %s is not a wire file\n", path);
		exit(2);
	}
	for (uint32_t i = 0; i < head->ends; i++) {
		if (ends[i].other < head->ends && ends[i].frames && ends[i].delay_ns >= 0)
			continue;
		fprintf(stderr, "wire: %s: end %u makes no sense\n", path, i);
		exit(2);
	}
}

int main(int argc, char **argv)
{
	struct sockaddr_nl groups = {.nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK};
	int all, control, signals, links;
	sigset_t wanted;

	if (argc != 2) {
		fprintf(stderr, "usage: wire SHARED_FILE\n");
		return 2;
	}
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	open_shared(argv[1]);
	sigemptyset(&wanted);
	sigaddset(&wanted, SIGUSR1);
	sigaddset(&wanted, SIGTERM);
	sigaddset(&wanted, SIGINT);
	sigprocmask(SIG_BLOCK, &wanted, NULL);
	signals = signalfd(-1, &wanted, SFD_NONBLOCK);
	control_socket = socket(AF_INET, SOCK_DGRAM, 0);
	links = socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK, NETLINK_ROUTE);
	all = epoll_create1(0);
	control = epoll_create1(0);
	if (signals < 0 || control_socket < 0 || links < 0 || all < 0 || control < 0 ||
	    bind(links, (struct sockaddr *)&groups, sizeof(groups)) || add(control, signals) ||
	    add(control, links) || add(all, control))
		die("control");
	for (uint32_t i = 0; i < head->ends; i++) {
		open_side(&ends[i], &sides[i]);
		if (add(all, sides[i].fd))
			die("epoll");
	}
	look_at_states();
	go_first();
	head->ready = 1;
	for (;;) {
		int64_t rest = forward_all();
		struct timespec until = {rest / 1000000000LL, rest % 1000000000LL};
		struct pollfd wait = {.fd = rest < 0 ? all : control, .events = POLLIN};
		struct epoll_event event;

		if (ppoll(&wait, 1, rest < 0 ? NULL : &until, NULL) > 0 &&
		    epoll_wait(control, &event, 1, 0) > 0)
			take_news(signals, links);
	}
}
