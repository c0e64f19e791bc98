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
#define NSH_TTL_MASK 0x0FC0
#define NSH_TTL_SHIFT 6
#define NSH_LENGTH_MASK 0x003F
#define NSH_LENGTH_WORDS 6
#define NSH_MD_TYPE_1 1
#define NSH_NEXT_IPV4 1
#define NSH_NEXT_IPV6 2
#define NSH_NEXT_ETHERNET 3

#define SPI_PROTECTION 0x800000u
#define SPI_CIRCUIT_MASK 0x7FFFFFu

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

#endif
