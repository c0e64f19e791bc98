/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Replays traffic matrices as packets: one sending and one receiving thread over packet sockets in
 * the hosts' network namespaces. Everything it is told and all it counts lies in one shared file
 * (topologies/lab/replay.py has the layout), so nothing of it is lost when somebody is killed.
 *
 * It ends by itself: after the last interval, or when the shared file says stop.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define MAGIC 0x46535452u
#define MAX_HOSTS 64
#define BATCH 64
#define PACE_NS 500000L
#define PORT 9
#define FIRST_SOURCE_PORT 20000
#define DRAIN_NS 1000000000LL

struct header {
	uint32_t magic, intervals, demands, hosts, flows, frame;
	volatile uint32_t stop, done;
	int64_t origin_ns, step_ns;
	uint8_t router_mac[6];
	uint8_t unused[2];
};

struct host {
	uint32_t pid;
	char ifname[16];
	uint32_t address;
	uint8_t mac[6];
	uint8_t unused[2];
};

struct demand {
	uint32_t source, destination;
};

struct tally {
	uint64_t sent, received, reordered, delay_ns, delay_max_ns;
};

struct payload {
	uint32_t magic;
	uint16_t demand, interval, flow, unused;
	uint32_t sequence;
	int64_t sent_ns;
} __attribute__((packed));

static struct header *head;
static struct host *hosts;
static struct demand *demands;
static double *rates;
static struct tally *tallies;
static int sockets[MAX_HOSTS];

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void die(const char *what)
{
	fprintf(stderr, "replay: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* A packet socket on a host's interface, and a UDP socket so that its kernel stays quiet. */
static int open_host(const struct host *host)
{
	char path[64];
	struct sockaddr_ll link = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_IP)};
	struct sockaddr_in quiet = {.sin_family = AF_INET, .sin_port = htons(PORT)};
	int size = 16 << 20, small = 4096, one = 1, fd, udp, ns;

	snprintf(path, sizeof(path), "/proc/%u/ns/net", host->pid);
	ns = open(path, O_RDONLY);
	if (ns < 0 || setns(ns, CLONE_NEWNET))
		die(path);
	close(ns);
	udp = socket(AF_INET, SOCK_DGRAM, 0);
	if (udp < 0 || setsockopt(udp, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)) ||
	    bind(udp, (struct sockaddr *)&quiet, sizeof(quiet)))
		die("udp socket");
	fd = socket(AF_PACKET, SOCK_RAW, 0);
	if (fd < 0)
		die("packet socket");
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
	setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one));
	link.sll_ifindex = if_nametoindex(host->ifname);
	if (!link.sll_ifindex || bind(fd, (struct sockaddr *)&link, sizeof(link)))
		die(host->ifname);
	return fd;
}

static uint16_t ip_checksum(const void *data)
{
	const uint16_t *words = data;
	uint32_t sum = 0;

	for (int i = 0; i < 10; i++)
		sum += words[i];
	while (sum >> 16)
		sum = (sum & 0xFFFF) + (sum >> 16);
	return (uint16_t)~sum;
}

static void build(uint8_t *frame, const struct demand *demand)
{
	const struct host *from = &hosts[demand->source], *to = &hosts[demand->destination];
	struct ether_header *eth = (void *)frame;
	struct iphdr *ip = (void *)(eth + 1);
	struct udphdr *udp = (void *)(ip + 1);

	memset(frame, 0, head->frame);
	memcpy(eth->ether_dhost, head->router_mac, 6);
	memcpy(eth->ether_shost, from->mac, 6);
	eth->ether_type = htons(ETHERTYPE_IP);
	ip->version = 4;
	ip->ihl = 5;
	ip->ttl = 64;
	ip->protocol = IPPROTO_UDP;
	ip->tot_len = htons((uint16_t)(head->frame - sizeof(*eth)));
	ip->saddr = from->address;
	ip->daddr = to->address;
	ip->check = ip_checksum(ip);
	udp->dest = htons(PORT);
	udp->len = htons((uint16_t)(head->frame - sizeof(*eth) - sizeof(*ip)));
}

/* Flows are visited in an order that spreads over all of them and is the same in every run. */
static uint32_t flow_of(uint32_t sequence)
{
	return (uint32_t)((sequence * 2654435761u) >> 8) % head->flows;
}

static void flush(int fd, struct mmsghdr *messages, int *waiting)
{
	int done = 0, n;

	while (done < *waiting) {
		n = sendmmsg(fd, messages + done, (unsigned)(*waiting - done), 0);
		if (n < 0 && (errno == EINTR || errno == ENOBUFS || errno == EAGAIN))
			continue;
		if (n < 0) /* the interface is down: these packets are lost, as they would be */
			break;
		done += n;
	}
	*waiting = 0;
}

static void *sender(void *unused)
{
	static uint8_t frames[BATCH][2048];
	struct mmsghdr messages[BATCH];
	struct iovec parts[BATCH];
	uint32_t count = head->demands, *sequences = calloc(count, sizeof(*sequences));
	uint8_t *templates = malloc((size_t)count * 2048);
	double *credit = calloc(count, sizeof(*credit));
	int64_t last = head->origin_ns, next = head->origin_ns;
	int waiting = 0;

	(void)unused;
	if (!sequences || !templates || !credit)
		die("memory");
	memset(messages, 0, sizeof(messages));
	for (uint32_t d = 0; d < count; d++) {
		build(templates + (size_t)d * 2048, &demands[d]);
		credit[d] = (double)(d * 2654435761u % 1000) / 1000.0;
	}
	for (int i = 0; i < BATCH; i++) {
		parts[i] = (struct iovec){.iov_base = frames[i], .iov_len = head->frame};
		messages[i].msg_hdr.msg_iov = &parts[i];
		messages[i].msg_hdr.msg_iovlen = 1;
	}
	while (!head->stop) {
		struct timespec until = {next / 1000000000LL, next % 1000000000LL};
		int64_t now, interval;

		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
		next += PACE_NS;
		now = now_ns();
		if (now < head->origin_ns)
			continue;
		interval = (now - head->origin_ns) / head->step_ns;
		if (interval >= head->intervals)
			break;
		/* after a long pause send on at the rate, do not catch up with a burst */
		double elapsed = (double)(now - last > 20000000 ? 20000000 : now - last) / 1e9;

		last = now;
		for (uint32_t d = 0; d < count; d++) {
			struct tally *tally = &tallies[interval * count + d];

			if (waiting && demands[d].source != demands[d - 1].source)
				flush(sockets[demands[d - 1].source], messages, &waiting);
			credit[d] += rates[interval * count + d] * elapsed;
			while (credit[d] >= 1.0) {
				uint8_t *frame = frames[waiting];
				struct udphdr *udp = (void *)(frame + sizeof(struct ether_header) +
							      sizeof(struct iphdr));
				struct payload *payload = (void *)(udp + 1);
				uint32_t flow = flow_of(sequences[d]);

				credit[d] -= 1.0;
				memcpy(frame, templates + (size_t)d * 2048, 64);
				udp->source = htons((uint16_t)(FIRST_SOURCE_PORT + flow));
				payload->magic = MAGIC;
				payload->demand = (uint16_t)d;
				payload->interval = (uint16_t)interval;
				payload->flow = (uint16_t)flow;
				payload->sequence = sequences[d]++;
				payload->sent_ns = now_ns();
				tally->sent++;
				if (++waiting == BATCH)
					flush(sockets[demands[d].source], messages, &waiting);
			}
		}
		if (waiting)
			flush(sockets[demands[count - 1].source], messages, &waiting);
	}
	free(sequences);
	free(templates);
	free(credit);
	head->done = 1;
	return NULL;
}

static void account(const uint8_t *frame, ssize_t size, uint32_t *newest)
{
	const size_t offset =
	    sizeof(struct ether_header) + sizeof(struct iphdr) + sizeof(struct udphdr);
	const struct payload *payload = (const void *)(frame + offset);
	struct tally *tally;
	uint32_t *last;
	int64_t delay;

	if (size < (ssize_t)(offset + sizeof(*payload)) || payload->magic != MAGIC ||
	    payload->demand >= head->demands || payload->interval >= head->intervals ||
	    payload->flow >= head->flows)
		return;
	tally = &tallies[(size_t)payload->interval * head->demands + payload->demand];
	last = &newest[(size_t)payload->demand * head->flows + payload->flow];
	delay = now_ns() - payload->sent_ns;
	tally->received++;
	tally->delay_ns += (uint64_t)delay;
	if ((uint64_t)delay > tally->delay_max_ns)
		tally->delay_max_ns = (uint64_t)delay;
	if (payload->sequence + 1 < *last)
		tally->reordered++;
	else
		*last = payload->sequence + 1;
}

static void receive(void)
{
	static uint8_t frames[BATCH][2048];
	struct mmsghdr messages[BATCH];
	struct iovec parts[BATCH];
	struct pollfd waits[MAX_HOSTS];
	uint32_t *newest = calloc((size_t)head->demands * head->flows, sizeof(*newest));
	int64_t until = 0;

	if (!newest)
		die("memory");
	memset(messages, 0, sizeof(messages));
	for (int i = 0; i < BATCH; i++) {
		parts[i] = (struct iovec){.iov_base = frames[i], .iov_len = sizeof(frames[i])};
		messages[i].msg_hdr.msg_iov = &parts[i];
		messages[i].msg_hdr.msg_iovlen = 1;
	}
	for (uint32_t h = 0; h < head->hosts; h++)
		waits[h] = (struct pollfd){.fd = sockets[h], .events = POLLIN};
	while (!until || now_ns() < until) {
		struct timespec pause = {0, 1000000};

		if (head->done && !until)
			until = now_ns() + DRAIN_NS;
		if (poll(waits, head->hosts, 100) <= 0)
			continue;
		for (uint32_t h = 0; h < head->hosts; h++) {
			int n;

			if (!(waits[h].revents & POLLIN))
				continue;
			while ((n = recvmmsg(sockets[h], messages, BATCH, MSG_DONTWAIT, NULL)) > 0)
				for (int i = 0; i < n; i++)
					account(frames[i], messages[i].msg_len, newest);
		}
		nanosleep(&pause, NULL);
	}
	free(newest);
}

int main(int argc, char **argv)
{
	struct stat info;
	pthread_t thread;
	uint8_t *base;
	uint64_t pairs;
	int file;

	if (argc != 2) {
		fprintf(stderr, "usage: replay SHARED_FILE\n");
		return 2;
	}
	file = open(argv[1], O_RDWR);
	if (file < 0 || fstat(file, &info))
		die(argv[1]);
	base = mmap(NULL, (size_t)info.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	if (base == MAP_FAILED)
		die(argv[1]);
	head = (void *)base;
	if ((size_t)info.st_size < sizeof(*head) || head->magic != MAGIC ||
	    head->hosts > MAX_HOSTS || head->frame > 2048 || head->frame < 128 || !head->flows ||
	    head->step_ns <= 0) {
		fprintf(stderr, "replay: %s is not a replay file\n", argv[1]);
		return 2;
	}
	pairs = (uint64_t)head->intervals * head->demands;
	if ((uint64_t)info.st_size < sizeof(*head) + head->hosts * sizeof(*hosts) +
					 head->demands * sizeof(*demands) +
					 pairs * (sizeof(*rates) + sizeof(*tallies))) {
		fprintf(stderr, "replay: %s is cut short\n", argv[1]);
		return 2;
	}
	hosts = (void *)(head + 1);
	demands = (void *)(hosts + head->hosts);
	rates = (void *)(demands + head->demands);
	tallies = (void *)(rates + (size_t)head->intervals * head->demands);
	for (uint32_t h = 0; h < head->hosts; h++)
		sockets[h] = open_host(&hosts[h]);
	if (pthread_create(&thread, NULL, sender, NULL))
		die("thread");
	receive();
	pthread_join(thread, NULL);
	head->done = 2;
	return 0;
}
