/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/* The benchmark's own programs: the generator, the sink, and what engines are measured against. */
#define TEMPLATE_WORDS 8
#define MAX_HELD 131072

/* The first bytes of a frame: all of its headers. The rest of a frame is never touched. */
struct template
{
	__u64 word[TEMPLATE_WORDS];
};

/* Frames that are sent one after the other, again and again. */
struct frame_set {
	__u64 sent;
	/* its first template, how many there are, the next one, how often all were sent */
	__u32 base;
	__u32 count;
	__u32 position;
	__u32 pass;
	/* whether each pass is of other flows */
	__u32 renewing;
	__u32 unused;
};

/* What the generator does, written by the benchmark, and what it did. */
struct generator {
	__u64 sent;
	/* the clock is read when as many have been sent */
	__u64 stop;
	__u64 first_ns;
	__u64 last_ns;
	/* paced: frames per nanosecond times 2^32 */
	__u64 rate;
	struct frame_set main;
	/* paced: of `every` frames (0: none), the first `run` are of another set */
	struct frame_set side;
	__u32 every;
	__u32 run;
	__u32 phase;
	/* where to, in `ports_out` */
	__u32 out;
	/* paced: how many frames leave together, and how many of them are still to go */
	__u32 burst;
	__u32 credit;
	/* for `again`: bytes of a frame, and the program that it measures */
	__u32 length;
	__u32 chained;
};

/* A connection as the end sees it: by whom it is served, how many packets, how often it moved. */
struct held {
	__u32 backend;
	__u32 packets;
	__u32 moved;
};

BPF_F_TABLE("array", __u32, struct template, templates, TEMPLATES, BPF_F_MMAPABLE);
BPF_F_TABLE("array", __u32, struct generator, generators, 1, BPF_F_MMAPABLE);
BPF_F_TABLE("array", __u32, struct held, seen, MAX_HELD, BPF_F_MMAPABLE);
BPF_PERCPU_ARRAY(sunk, __u64, 1);
BPF_DEVMAP(ports_out, 16);
BPF_DEVMAP(ports_in, 256);
BPF_PROG_ARRAY(chain, 32);

static __always_inline int fill(struct xdp_md *ctx, struct frame_set *set)
{
	__u64 *frame = (void *)(long)ctx->data;
	__u32 slot = set->base + set->position, next = set->position + 1;
	struct template *from;

	if (next < set->count) {
		set->position = next;
	} else {
		set->position = 0;
		set->pass++;
	}
	from = templates.lookup(&slot);
	if (!from || (void *)(frame + TEMPLATE_WORDS) > (void *)(long)ctx->data_end)
		return -1;
#pragma unroll
	for (int i = 0; i < TEMPLATE_WORDS; i++)
		frame[i] = from->word[i];
	return 0;
}

/* Whatever the packet's headers were, they become the next of the set: as fast as it goes. */
int generate(struct xdp_md *ctx)
{
	__u32 zero = 0;
	struct generator *g = generators.lookup(&zero);
	__u64 n;

	if (!g || fill(ctx, &g->main))
		return XDP_ABORTED;
	n = ++g->sent;
	if (n == 1)
		g->first_ns = bpf_ktime_get_ns();
	else if (n == g->stop)
		g->last_ns = bpf_ktime_get_ns();
	return ports_out.redirect_map(g->out, 0);
}

/* Give a plain frame another source: each pass over the set, and each `n`, is other flows. */
static __always_inline void renew(struct xdp_md *ctx, __u32 n)
{
	struct ethhdr *eth = (void *)(long)ctx->data;
	struct iphdr *ip = (void *)(eth + 1);
	__u16 *half = (void *)&ip->saddr;
	__u32 sum;

	if ((void *)(ip + 1) > (void *)(long)ctx->data_end)
		return;
	/* one's complement arithmetic: what the address gains, the checksum loses (RFC 1624) */
	n &= 0x3FFFF;
	sum = (__u16)~ip->check;
	sum += (__u16)~half[0];
	sum += (__u16)~half[1];
	ip->saddr ^= bpf_htonl(n);
	sum += half[0];
	sum += half[1];
	sum = (sum & 0xFFFF) + (sum >> 16);
	sum = (sum & 0xFFFF) + (sum >> 16);
	ip->check = ~sum;
}

/* As `generate`, but no flow ever comes a second time. */
int generate_new(struct xdp_md *ctx)
{
	__u32 zero = 0;
	struct generator *g = generators.lookup(&zero);
	__u64 n;

	if (!g || fill(ctx, &g->main))
		return XDP_ABORTED;
	renew(ctx, g->main.pass);
	n = ++g->sent;
	if (n == 1)
		g->first_ns = bpf_ktime_get_ns();
	else if (n == g->stop)
		g->last_ns = bpf_ktime_get_ns();
	return ports_out.redirect_map(g->out, 0);
}

/* Whether a frame may leave now; frames of a burst leave together, and what is late catches up. */
static __always_inline int due(struct generator *g)
{
	__u64 now, frames;

	if (g->credit) {
		g->credit--;
		return 1;
	}
	if (g->sent >= g->stop)
		return 0;
	now = bpf_ktime_get_ns();
	if (!g->first_ns)
		g->first_ns = now;
	frames = (now - g->first_ns) * g->rate >> 32;
	if (frames < g->sent + g->burst)
		return 0;
	g->last_ns = now;
	g->credit = g->burst - 1;
	return 1;
}

/* At a given rate, from two sets. */
int generate_paced(struct xdp_md *ctx)
{
	__u32 zero = 0;
	struct generator *g = generators.lookup(&zero);
	struct frame_set *set;

	if (!g)
		return XDP_ABORTED;
	if (!due(g))
		return XDP_DROP;
	set = g->phase < g->run ? &g->side : &g->main;
	g->phase = g->phase + 1 < g->every ? g->phase + 1 : 0;
	if (fill(ctx, set))
		return XDP_ABORTED;
	if (set->renewing)
		renew(ctx, set->pass);
	set->sent++;
	g->sent++;
	return ports_out.redirect_map(g->out, 0);
}

/* For a program alone, run again and again on one frame: what it did to the last is undone. */
int again(struct xdp_md *ctx)
{
	__u32 zero = 0;
	struct generator *g = generators.lookup(&zero);
	int longer;

	if (!g)
		return XDP_ABORTED;
	longer = (int)(ctx->data_end - ctx->data) - (int)g->length;
	if (longer && bpf_xdp_adjust_head(ctx, longer))
		return XDP_ABORTED;
	if (fill(ctx, &g->main))
		return XDP_ABORTED;
	chain.call(ctx, g->chained);
	return XDP_ABORTED;
}

/* As `again`, but no flow ever comes a second time. */
int again_new(struct xdp_md *ctx)
{
	__u32 zero = 0;
	struct generator *g = generators.lookup(&zero);
	int longer;

	if (!g)
		return XDP_ABORTED;
	longer = (int)(ctx->data_end - ctx->data) - (int)g->length;
	if (longer && bpf_xdp_adjust_head(ctx, longer))
		return XDP_ABORTED;
	if (fill(ctx, &g->main))
		return XDP_ABORTED;
	renew(ctx, g->main.pass);
	chain.call(ctx, g->chained);
	return XDP_ABORTED;
}

/* The end of every pipeline, and in an engine's place the peer that drops. */
int sink(struct xdp_md *ctx)
{
	__u32 zero = 0;
	__u64 *count = sunk.lookup(&zero);

	if (count)
		*count += 1;
	return XDP_DROP;
}

/* The end of a run over connections: TCP's sequence number says of which the packet is. */
int check(struct xdp_md *ctx)
{
	__be32 *words = (void *)(long)ctx->data;
	__u32 zero = 0, number, backend;
	__u64 *count = sunk.lookup(&zero);
	struct held *held;

	if (count)
		*count += 1;
	/* Ethernet, NSH, IPv4: C1 is at 22, the sequence number at 62; both two bytes off a word */
	if ((void *)(words + 17) > (void *)(long)ctx->data_end)
		return XDP_DROP;
	number = (bpf_ntohl(words[15]) << 16 | bpf_ntohl(words[16]) >> 16) - 1;
	backend = bpf_ntohl(words[5]) << 16 | bpf_ntohl(words[6]) >> 16;
	held = seen.lookup(&number);
	if (!held)
		return XDP_DROP;
	if (!held->packets)
		held->backend = backend;
	else if (held->backend != backend)
		held->moved++;
	held->backend = backend;
	held->packets++;
	return XDP_DROP;
}

/* For a program alone: the least that there is. */
int drop(struct xdp_md *ctx)
{
	return XDP_DROP;
}

/* The least that an engine can do. */
int redirect(struct xdp_md *ctx)
{
	return ports_in.redirect_map(0, 0);
}

/* Ordinary routing, done early: what is to be had without a controller. */
int fib(struct xdp_md *ctx)
{
	struct ethhdr *eth = (void *)(long)ctx->data;
	struct iphdr *ip = (void *)(eth + 1);
	struct bpf_fib_lookup look = {};
	__u32 check;

	if ((void *)(ip + 1) > (void *)(long)ctx->data_end || eth->h_proto != bpf_htons(ETH_P_IP) ||
	    ip->ttl <= 1)
		return XDP_PASS;
	look.family = 2; /* AF_INET */
	look.tos = ip->tos;
	look.l4_protocol = ip->protocol;
	look.tot_len = bpf_ntohs(ip->tot_len);
	look.ipv4_src = ip->saddr;
	look.ipv4_dst = ip->daddr;
	look.ifindex = ctx->ingress_ifindex;
	if (bpf_fib_lookup(ctx, &look, sizeof(look), 0) != BPF_FIB_LKUP_RET_SUCCESS)
		return XDP_PASS;
	check = ip->check + bpf_htons(0x0100);
	ip->check = check + (check >= 0xFFFF);
	ip->ttl--;
	__builtin_memcpy(eth->h_dest, look.dmac, 6);
	__builtin_memcpy(eth->h_source, look.smac, 6);
	return ports_in.redirect_map(look.ifindex, 0);
}

/* Lets a veth take redirected frames and hand them to the kernel one by one. */
int hand_on(struct xdp_md *ctx)
{
	return XDP_PASS;
}
