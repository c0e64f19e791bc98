/* SPDX-License-Identifier: (Apache-2.0 OR GPL-2.0-only) */
/*
 * The steering header: NSH (RFC 8300), MD type 1, as Foresteer fills it. The only definition in C;
 * headers/packet/steering.py is the one in Python, and a test compares the two.
 *
 *  0                   1                   2                   3
 *  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
 * |Ver|O|U|    TTL    |  Length=6 |U|U|U|U|MD=1   | Next protocol |
 * |P|            Circuit id (SPI)                 |      SI       |
 * |          Engine (predicted)   |     Port or instance          |  C1
 * |Version|Prio.  |       Application type        |     Flags     |  C2
 * |   Key epoch   |                 Forecast id                   |  C3
 * |                              Tag                              |  C4
 */
#ifndef FORESTEER_STEERING_H
#define FORESTEER_STEERING_H

#define STEERING_ETHERTYPE 0x894F
#define STEERING_LEN 24
#define STEERING_VERSION 1
#define STEERING_TTL 63

#define NSH_VERSION_MASK 0xC000
#define NSH_OAM 0x2000
#define NSH_TTL_MASK 0x0FC0
#define NSH_TTL_SHIFT 6
#define NSH_LENGTH_MASK 0x003F
#define NSH_LENGTH_WORDS 6
#define NSH_MD_TYPE_1 1
#define NSH_NEXT_NONE 0
#define NSH_NEXT_IPV4 1
#define NSH_NEXT_IPV6 2
#define NSH_NEXT_ETHERNET 3
#define NSH_NEXT_NSH 4

#define SPI_PROTECTION 0x800000u
#define SPI_CIRCUIT_MASK 0x7FFFFFu

#define C1_ENGINE_SHIFT 16
#define C1_PORT_MASK 0xFFFFu
#define C2_VERSION_SHIFT 28
#define C2_PRIORITY_SHIFT 24
#define C2_PRIORITY_MASK 0x0F000000u
#define C2_APPLICATION_SHIFT 8
#define C2_APPLICATION_MASK 0x00FFFF00u
#define C2_INSTANCE 0x01u
#define C2_REPLY 0x02u
#define C3_EPOCH_SHIFT 24

struct steering_header {
	__be16 flags;
	__u8 md_type;
	__u8 next_protocol;
	__be32 spi_si;
	__be32 c1;
	__be32 c2;
	__be32 c3;
	__be32 c4;
} __attribute__((packed));

/*
 * What follows the header of an echo (O bit set, next protocol None): an engine that is its
 * circuit's end sends it back on the circuit named here. The tag covers all of it in
 * the place of addresses. The time is the sender's own and comes back as it was.
 */
struct steering_echo {
	__be32 reply_spi_si;
	__be32 sequence;
	__u64 sent_ns;
} __attribute__((packed));

#endif
