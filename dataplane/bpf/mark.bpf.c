/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/* mark: at an edge's host-facing port, puts packets of known demands on their circuits. */
#include "packet.h"

/* A hash of the flow: addresses and protocol, and the ports of packets that carry them. */
static __always_inline __u32 flow_hash(struct iphdr *ip, void *end)
{
	__u32 *l4 = (void *)ip + ip->ihl * 4;
	__u32 ports = 0;
	__u64 h;

	if (!(ip->frag_off & bpf_htons(IP_FRAGMENT_MASK)) &&
	    (ip->protocol == 6 || ip->protocol == 17) && (void *)(l4 + 1) <= end)
		ports = *l4;
	h = sip_pair(ip->saddr, ip->daddr) ^ sip_pair(ports, ip->protocol) * 0x9E3779B97F4A7C15ULL;
	h ^= h >> 33;
	h *= 0xFF51AFD7ED558CCDULL;
	h ^= h >> 33;
	h *= 0xC4CEB9FE1A85EC53ULL;
	h ^= h >> 33;
	return (__u32)h;
}

int mark(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	__u32 ifindex = ctx->ingress_ifindex, zero = 0, slot, spi, epoch, check;
	struct port_config *port = ports.lookup(&ifindex);
	__u64 bytes = end - data, wire = bytes + STEERING_LEN;
	struct steering_header *nsh;
	struct prefix_key prefix = {};
	struct edge_circuit *circuit;
	struct domain_state *state;
	struct key_slot *key;
	struct ethhdr saved;
	struct iphdr *ip;
	__u32 *demand, *bucket, saddr, daddr, c1, c2, c3;

	if (!port || (void *)(eth + 1) > end)
		return XDP_PASS;
	if (eth->h_proto == bpf_htons(STEERING_ETHERTYPE))
		return refuse(ctx, port, REASON_FOREIGN_NSH);
	ip = (void *)(eth + 1);
	if (eth->h_proto != bpf_htons(ETH_P_IP) || !is_ipv4(ip, end)) {
		count(port->engine, REASON_PLAIN, bytes);
		return XDP_PASS;
	}
	prefix.prefixlen = 64;
	prefix.engine = bpf_htonl(port->engine);
	prefix.address = ip->daddr;
	demand = prefixes.lookup(&prefix);
	if (!demand) {
		count(port->engine, REASON_NO_DEMAND, bytes);
		return XDP_PASS;
	}
	slot = *demand;
	add(demand_counters.lookup(&slot), wire);
	slot = slot * BUCKETS + (flow_hash(ip, end) & (BUCKETS - 1));
	bucket = buckets.lookup(&slot);
	if (!bucket || !*bucket) {
		count(port->engine, REASON_UNSTEERED, bytes);
		return XDP_PASS;
	}
	spi = *bucket;
	circuit = edge_circuits.lookup(&spi);
	if (!circuit || !circuit->active || circuit->engine != port->engine) {
		count(port->engine, REASON_NO_CIRCUIT, bytes);
		return XDP_PASS;
	}
	if (ip->ttl <= 1) {
		count(port->engine, REASON_IP_TTL, bytes);
		return XDP_PASS;
	}
	if (wire > port->max_frame) {
		count(port->engine, REASON_TOO_LONG, bytes);
		return XDP_PASS;
	}
	state = domain.lookup(&zero);
	if (!state)
		return XDP_PASS;
	epoch = state->epoch & 0xFF;
	key = keys.lookup(&epoch);
	if (!key || !key->valid) {
		count(port->engine, REASON_NO_KEY, bytes);
		return XDP_PASS;
	}
	check = ip->check + bpf_htons(0x0100);
	ip->check = check + (check >= 0xFFFF);
	ip->ttl--;
	saddr = ip->saddr;
	daddr = ip->daddr;
	c1 = bpf_htonl(circuit->c1);
	c2 = bpf_htonl(circuit->c2);
	c3 = bpf_htonl(epoch << 24 | (state->forecast & 0xFFFFFF));
	__builtin_memcpy(&saved, eth, sizeof(saved));
	saved.h_proto = bpf_htons(STEERING_ETHERTYPE);
	if (bpf_xdp_adjust_head(ctx, -STEERING_LEN))
		return XDP_PASS;
	data = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	eth = data;
	nsh = (void *)(eth + 1);
	if ((void *)(nsh + 1) > end)
		return XDP_DROP;
	__builtin_memcpy(eth, &saved, sizeof(saved));
	nsh->flags = bpf_htons(STEERING_TTL << NSH_TTL_SHIFT | NSH_LENGTH_WORDS);
	nsh->md_type = NSH_MD_TYPE_1;
	nsh->next_protocol = NSH_NEXT_IPV4;
	nsh->spi_si = bpf_htonl(spi << 8 | circuit->si);
	nsh->c1 = c1;
	nsh->c2 = c2;
	nsh->c3 = c3;
	nsh->c4 = steering_tag(key, spi, c1, c2, c3, saddr, daddr);
	count(port->engine, REASON_MARKED, bytes);
	return tx_ports.redirect_map(port->out_slot, 0);
}
