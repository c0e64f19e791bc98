/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/* How an edge chooses a circuit. */
#ifndef FORESTEER_CIRCUIT_H
#define FORESTEER_CIRCUIT_H

#include "packet.h"

static __always_inline int is_down(__u32 engine)
{
	__u32 slot = engine & (MAX_ENGINES - 1);
	__u32 *bit = down.lookup(&slot);

	return bit && *bit;
}

/* The circuit with this number, where this engine may put packets on it. */
static __always_inline struct edge_circuit *usable_circuit(__u32 circuit, __u32 engine)
{
	struct edge_circuit *found = edge_circuits.lookup(&circuit);

	if (!circuit || !found || !found->active || found->engine != engine)
		return NULL;
	return found;
}

/*
 * A bucket's circuit: its primary, or its backup while the engine at the primary's end is known to
 * be down. Without a backup the primary stays: what is known may be wrong.
 */
static __always_inline struct edge_circuit *bucket_circuit(__u64 bucket, __u32 engine,
							   __u32 *circuit)
{
	struct edge_circuit *primary, *backup;

	*circuit = (__u32)bucket;
	primary = usable_circuit(*circuit, engine);
	if (primary && !is_down(primary->c1 >> C1_ENGINE_SHIFT))
		return primary;
	backup = usable_circuit(bucket >> 32, engine);
	if (!backup || is_down(backup->c1 >> C1_ENGINE_SHIFT))
		return primary;
	*circuit = bucket >> 32;
	count(engine, REASON_ON_BACKUP, 0);
	return backup;
}

#endif
