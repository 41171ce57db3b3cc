// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
// The overlay's data path: where each frame goes, without a packet ever waiting for user space.
//
// A frame between hosts carries the number of the peer where it entered, its source, and that of the peer where it
// leaves, its target, or 0 when it follows the broadcast tree of the source. In VXLAN these 24 bits are the VNI, the
// target shifted by 12. Between here and the sleeve, a process that reads and writes a TAP device, they are VLAN tags:
//
//   via | source | target     outermost first, 12 bits each, the TTL's upper 4 and lower 2 bits above via and source
//
// where via is the neighbour that the frame goes to, or has come from. Four programs share the maps:
//
//   vxlan_out       egress of the overlay port: what the bridge wants to send to other hosts
//   vxlan_in        ingress of the overlay port: deliver, relay, or both
//   tap_in          ingress of the TAP: the same for what comes through the sleeve
//   from_container  ingress of a container's outer veth end: known unicast takes a shortcut past the bridge
//
// The sleeve finds out whether VXLAN gets through by probes, frames of its own without tags: to a neighbour's address,
// which is in their Ethernet destination, with a VNI of 0, and there to the TAP, the sender's address in their Ethernet
// source. They pass before anybody has a number.
//
// Maps outlive the agent, because attached programs hold them. The agent writes `self`, `hops`, `neighbours` and `trees`;
// `macs` is learnt here. A broadcast is accepted from our parent in its source's tree only, so wrong trees lose frames,
// and never multiply them; everything else from any neighbour, for ways there and back may differ. Runs on Linux 5.10 and later; numbers are in host order unless said otherwise.
//
// Source: Weave Net's fastdp (VNI layout); reverse path forwarding (Dalal and Metcalfe, 1978).
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define ID_BITS 12
#define ID_MASK 0xfff
#define PEERS_MAX 4096
#define MACS_MAX 65536
#define CHILDREN_MAX 256
#define TTL 64
// What fits in the tags.
#define SLEEVE_TTL 63
// Of every tag. A container's own tags may be the same, for we look at the outer three only.
#define TAG ETH_P_8021AD
#define ETH_P_PROBE 0x88b5
// `by` in `struct neighbour`.
#define BY_SLEEVE 1
// Marks a frame whose tunnel key we have set: the egress hook sees redirected frames, too. A tunnel key alone is no
// mark, for answers of the host's own stack carry the reversed key of what they answer.
#define HANDLED 0x7765
// Marks a frame that tap_in hands to the bridge by way of the overlay port, where all that is remote comes from.
#define HANDED_IN 0x7766
#define IP_DF 0x4000
// The size of the key up to and including `local_ipv4`: accepted by every kernel since 5.10, though the struct grew.
#define KEY_SIZE 28

enum drop { DROP_NO_ID, DROP_NO_HOP, DROP_NO_TREE, DROP_PARENT, DROP_LOOP, DROP_TTL, DROP_LOCAL, DROP_KEY, DROP_TAGS, DROP_NO_TAP,
	DROP_STRANGER, DROPS };

// The interfaces, and 0 for what is not there.
struct self { __u32 id; __u32 vxlan; __u32 tap; };
struct neighbour { __u32 ip; __u16 id; __u16 by; };
struct tree { __u32 parent; __u32 parent_id; __u32 count; struct neighbour children[CHILDREN_MAX]; };
struct mac { __u8 octets[ETH_ALEN]; __u16 zero; };
// `peer` 0 means here, behind the interface.
struct place { __u32 peer; __u32 ifindex; };
// A frame from a neighbour: `ip` is the neighbour's if it came by VXLAN, else 0; `via` its number if by the sleeve.
struct arrival { __u32 source; __u32 target; __u32 ip; __u32 via; __u32 ttl; };
struct traffic { __u64 sent_packets; __u64 sent_bytes; __u64 received_packets; __u64 received_bytes; };

struct map { __u32 type; __u32 key_size; __u32 value_size; __u32 max_entries; __u32 flags; };
#define MAP(name, kind, key, value, max, flag) \
	struct map SEC("maps") name = { kind, sizeof(key), sizeof(value), max, flag }

MAP(self, BPF_MAP_TYPE_ARRAY, __u32, struct self, 1, 0);
MAP(hops, BPF_MAP_TYPE_HASH, __u32, struct neighbour, PEERS_MAX, BPF_F_NO_PREALLOC);
// Addresses of neighbours, as keys: nobody else may send us VXLAN.
MAP(neighbours, BPF_MAP_TYPE_HASH, __u32, __u32, PEERS_MAX, BPF_F_NO_PREALLOC);
MAP(trees, BPF_MAP_TYPE_HASH, __u32, struct tree, PEERS_MAX, BPF_F_NO_PREALLOC);
MAP(macs, BPF_MAP_TYPE_LRU_HASH, struct mac, struct place, MACS_MAX, 0);
MAP(stats, BPF_MAP_TYPE_PERCPU_ARRAY, __u32, struct traffic, PEERS_MAX, 0);
MAP(drops, BPF_MAP_TYPE_PERCPU_ARRAY, __u32, __u64, DROPS, 0);

static __always_inline int drop(__u32 why)
{
	__u64 *count = bpf_map_lookup_elem(&drops, &why);
	if (count)
		*count += 1;
	return TC_ACT_SHOT;
}

static __always_inline void count_sent(struct __sk_buff *skb, __u32 peer)
{
	struct traffic *traffic = bpf_map_lookup_elem(&stats, &peer);
	if (traffic) {
		traffic->sent_packets += skb->gso_segs ? skb->gso_segs : 1;
		traffic->sent_bytes += skb->len;
	}
}

static __always_inline void count_received(struct __sk_buff *skb, __u32 peer)
{
	struct traffic *traffic = bpf_map_lookup_elem(&stats, &peer);
	if (traffic) {
		traffic->received_packets += skb->gso_segs ? skb->gso_segs : 1;
		traffic->received_bytes += skb->len;
	}
}

static __always_inline struct self *who_am_i(void)
{
	__u32 zero = 0;
	return bpf_map_lookup_elem(&self, &zero);
}

static __always_inline int read_macs(struct __sk_buff *skb, struct mac *to, struct mac *from)
{
	if (bpf_skb_load_bytes(skb, 0, to->octets, ETH_ALEN) < 0)
		return -1;
	return bpf_skb_load_bytes(skb, ETH_ALEN, from->octets, ETH_ALEN);
}

static __always_inline int is_group(const struct mac *mac)
{
	return mac->octets[0] & 1;
}

// 01:80:c2:…: between neighbouring switches, never forwarded.
static __always_inline int is_link_local(const struct mac *mac)
{
	return mac->octets[0] == 0x01 && mac->octets[1] == 0x80 && mac->octets[2] == 0xc2;
}

static __always_inline int is_news(const struct mac *mac, __u32 peer, __u32 ifindex)
{
	struct place *known = bpf_map_lookup_elem(&macs, mac);
	return !is_group(mac) && !(known && known->peer == peer && known->ifindex == ifindex);
}

static __always_inline void learn(const struct mac *mac, __u32 peer, __u32 ifindex)
{
	struct place place = { .peer = peer, .ifindex = ifindex };
	if (is_news(mac, peer, ifindex))
		bpf_map_update_elem(&macs, mac, &place, BPF_ANY);
}

// The outer packet may be fragmented exactly when the inner one may.
static __always_inline __u64 key_flags(struct __sk_buff *skb)
{
	__u16 fragment;
	if (skb->protocol == bpf_htons(ETH_P_IP)
	    && bpf_skb_load_bytes(skb, ETH_HLEN + offsetof(struct iphdr, frag_off), &fragment, sizeof(fragment)) == 0
	    && (bpf_ntohs(fragment) & IP_DF))
		return BPF_F_ZERO_CSUM_TX | BPF_F_DONT_FRAGMENT;
	if (skb->protocol == bpf_htons(ETH_P_IPV6))
		return BPF_F_ZERO_CSUM_TX | BPF_F_DONT_FRAGMENT;
	return BPF_F_ZERO_CSUM_TX;
}

// ICMP "fragmentation needed" and its twin of IPv6: made by the kernel when an underlay link is too small.
static __always_inline int is_too_big(struct __sk_buff *skb)
{
	__u8 protocol, head, kind[2];
	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		if (bpf_skb_load_bytes(skb, ETH_HLEN, &head, 1) < 0
		    || bpf_skb_load_bytes(skb, ETH_HLEN + offsetof(struct iphdr, protocol), &protocol, 1) < 0
		    || protocol != IPPROTO_ICMP
		    || bpf_skb_load_bytes(skb, ETH_HLEN + (head & 0xf) * 4, kind, 2) < 0)
			return 0;
		return kind[0] == 3 && kind[1] == 4;
	}
	if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
		if (bpf_skb_load_bytes(skb, ETH_HLEN + 6, &protocol, 1) < 0 || protocol != 58
		    || bpf_skb_load_bytes(skb, ETH_HLEN + 40, kind, 1) < 0)
			return 0;
		return kind[0] == 2;
	}
	return 0;
}

static __always_inline int set_key(struct __sk_buff *skb, __u32 vni, __u32 ip, __u8 ttl)
{
	struct bpf_tunnel_key key = { .tunnel_id = vni, .remote_ipv4 = ip, .tunnel_ttl = ttl };
	return bpf_skb_set_tunnel_key(skb, &key, KEY_SIZE, key_flags(skb));
}

// Put on the three tags, for a neighbour. A frame with only some of them is of no use: drop it.
static __always_inline int push_tags(struct __sk_buff *skb, __u32 via, __u32 source, __u32 target, __u32 ttl)
{
	if (ttl > SLEEVE_TTL)
		ttl = SLEEVE_TTL;
	if (bpf_skb_vlan_push(skb, bpf_htons(TAG), target) < 0
	    || bpf_skb_vlan_push(skb, bpf_htons(TAG), source | (ttl & 3) << ID_BITS) < 0)
		return -1;
	return bpf_skb_vlan_push(skb, bpf_htons(TAG), via | ttl >> 2 << ID_BITS);
}

static __always_inline int pop_tags(struct __sk_buff *skb)
{
	if (bpf_skb_vlan_pop(skb) < 0 || bpf_skb_vlan_pop(skb) < 0)
		return -1;
	return bpf_skb_vlan_pop(skb);
}

// Read the three tags, and take them off. The outermost is beside the frame by now, as if a network card had done it.
static __always_inline int read_tags(struct __sk_buff *skb, struct arrival *come)
{
	__be16 words[5];
	if (!skb->vlan_present || skb->vlan_proto != bpf_htons(TAG)
	    || bpf_skb_load_bytes(skb, 2 * ETH_ALEN, words, sizeof(words)) < 0
	    || words[0] != bpf_htons(TAG) || words[2] != bpf_htons(TAG))
		return -1;
	__u32 outer = skb->vlan_tci, middle = bpf_ntohs(words[1]);
	come->via = outer & ID_MASK;
	come->source = middle & ID_MASK;
	come->target = bpf_ntohs(words[3]) & ID_MASK;
	come->ttl = outer >> ID_BITS << 2 | (middle >> ID_BITS & 3);
	return come->via && come->source ? pop_tags(skb) : -1;
}

static __always_inline int send_by_vxlan(struct __sk_buff *skb, struct self *me)
{
	skb->tc_index = HANDLED;
	return bpf_redirect(me->vxlan, 0);
}

static __always_inline int send_by_sleeve(struct __sk_buff *skb, struct self *me, struct neighbour *next,
					  __u32 source, __u32 target, __u32 ttl)
{
	if (!me->tap)
		return drop(DROP_NO_TAP);
	count_sent(skb, target);
	if (push_tags(skb, next->id & ID_MASK, source, target, ttl) < 0)
		return drop(DROP_TAGS);
	return bpf_redirect(me->tap, 0);
}

// Send a copy to each child in a tree. Copies by VXLAN pass the egress hook of the overlay port once more. Returns less
// than 0 when the frame is not whole afterwards.
static __always_inline int flood(struct __sk_buff *skb, struct self *me, struct tree *tree, __u32 source, __u32 ttl)
{
	skb->tc_index = HANDLED;
	for (__u32 i = 0; i < CHILDREN_MAX; i++) {
		if (i >= tree->count)
			break;
		struct neighbour child = tree->children[i];
		if (child.by == BY_SLEEVE) {
			if (!me->tap) {
				drop(DROP_NO_TAP);
				continue;
			}
			count_sent(skb, child.id & ID_MASK);
			if (push_tags(skb, child.id & ID_MASK, source, 0, ttl) < 0)
				return -1;
			bpf_clone_redirect(skb, me->tap, 0);
			if (pop_tags(skb) < 0)
				return -1;
		} else if (set_key(skb, source, child.ip, ttl) == 0) {
			count_sent(skb, child.id & ID_MASK);
			bpf_clone_redirect(skb, me->vxlan, 0);
		}
	}
	skb->tc_index = 0;
	return 0;
}

// Let the bridge have a frame that is for here, or for everybody.
static __always_inline int hand_in(struct __sk_buff *skb, struct self *me, const struct arrival *come)
{
	if (!come->via)
		return TC_ACT_OK;
	skb->tc_index = HANDED_IN;
	return bpf_redirect(me->vxlan, BPF_F_INGRESS);
}

// Of a frame with a target: would it go back to the neighbour that it came from? Neighbours behind one NAT share an
// address, so it tells them apart only among those that VXLAN reaches.
static __always_inline int is_back(const struct neighbour *hop, const struct arrival *come)
{
	return come->via ? hop->id == come->via : hop->by != BY_SLEEVE && hop->ip == come->ip;
}

static __always_inline int relay(struct __sk_buff *skb, struct self *me, const struct arrival *come)
{
	__u32 source = come->source, target = come->target;
	struct neighbour *hop = bpf_map_lookup_elem(&hops, &target);
	if (!hop)
		return drop(DROP_NO_HOP);
	if (is_back(hop, come)) {
		if (!is_too_big(skb))
			return drop(DROP_LOOP);
		if (!come->via) {
			// The kernel made it here, about a frame on its way there: back to where that came from.
			source = come->target;
			target = come->source;
			hop = bpf_map_lookup_elem(&hops, &target);
			if (!hop)
				return drop(DROP_NO_HOP);
		}
	}
	if (come->ttl <= 1)
		return drop(DROP_TTL);
	if (hop->by == BY_SLEEVE)
		return send_by_sleeve(skb, me, hop, source, target, come->ttl - 1);
	if (set_key(skb, source | target << ID_BITS, hop->ip, come->ttl - 1) < 0)
		return drop(DROP_KEY);
	count_sent(skb, target);
	return send_by_vxlan(skb, me);
}

// What becomes of a frame from a neighbour, by whatever it came, once that is taken off.
static __always_inline int arrive(struct __sk_buff *skb, struct self *me, const struct arrival *come)
{
	struct mac to = {}, from = {};
	if (read_macs(skb, &to, &from) < 0)
		return drop(DROP_KEY);
	struct place *place = is_group(&to) ? 0 : bpf_map_lookup_elem(&macs, &to);
	__u32 source = come->source;

	if (source == me->id) {
		// The kernel answers "too big" to what we sent ourselves through this very door, and so does the sleeve.
		if (is_too_big(skb) && (come->target == me->id || (place && !place->peer)))
			return hand_in(skb, me, come);
		return drop(DROP_LOOP);
	}
	// Of broadcasts, the tree tells.
	if (come->target && !come->via && !bpf_map_lookup_elem(&neighbours, &come->ip))
		return drop(DROP_STRANGER);
	count_received(skb, source);
	if (!come->target) {
		struct tree *tree = bpf_map_lookup_elem(&trees, &source);
		if (!tree)
			return drop(DROP_NO_TREE);
		if (come->via ? tree->parent_id != come->via : tree->parent != come->ip)
			return drop(DROP_PARENT);
		learn(&from, source, 0);
		if (come->ttl > 1 && flood(skb, me, tree, source, come->ttl - 1) < 0)
			return drop(DROP_TAGS);
		return hand_in(skb, me, come);
	}
	if (come->target != me->id)
		return relay(skb, me, come);
	// "Too big" speaks for who is behind the small link, from the host before it: that is not where it is.
	if (is_news(&from, source, 0) && !is_too_big(skb))
		learn(&from, source, 0);
	if (place && !place->peer && place->ifindex) {
		bpf_skb_change_type(skb, PACKET_HOST);
		return bpf_redirect_peer(place->ifindex, 0);
	}
	return hand_in(skb, me, come);
}

SEC("tc/vxlan_out") int vxlan_out(struct __sk_buff *skb)
{
	struct mac to = {}, from = {};
	struct self *me = who_am_i();

	if (skb->tc_index == HANDLED) {
		// Not scrubbed on the way, so it would confuse the receiver if that is on this machine.
		skb->tc_index = 0;
		return TC_ACT_OK;
	}
	if (!me || !me->id)
		return drop(DROP_NO_ID);
	if (read_macs(skb, &to, &from) < 0 || is_link_local(&to))
		return TC_ACT_SHOT;
	if (!is_group(&to)) {
		struct place *place = bpf_map_lookup_elem(&macs, &to);
		if (place && !place->peer)
			return drop(DROP_LOCAL);
		if (place) {
			__u32 peer = place->peer & ID_MASK;
			struct neighbour *hop = bpf_map_lookup_elem(&hops, &peer);
			if (!hop)
				return drop(DROP_NO_HOP);
			if (hop->by == BY_SLEEVE)
				return send_by_sleeve(skb, me, hop, me->id, peer, TTL);
			if (set_key(skb, me->id | peer << ID_BITS, hop->ip, TTL) < 0)
				return drop(DROP_KEY);
			count_sent(skb, peer);
			return TC_ACT_OK;
		}
	}
	__u32 id = me->id;
	struct tree *tree = bpf_map_lookup_elem(&trees, &id);
	if (!tree)
		return drop(DROP_NO_TREE);
	if (flood(skb, me, tree, id, TTL) < 0)
		return drop(DROP_TAGS);
	return TC_ACT_SHOT;
}

SEC("tc/vxlan_in") int vxlan_in(struct __sk_buff *skb)
{
	struct bpf_tunnel_key key = {};
	struct self *me = who_am_i();
	__u32 mark = skb->tc_index;

	skb->tc_index = 0;
	if (!me)
		return drop(DROP_NO_ID);
	if (bpf_skb_get_tunnel_key(skb, &key, KEY_SIZE, 0) < 0)
		return mark == HANDED_IN ? TC_ACT_OK : drop(DROP_KEY);
	if (!key.tunnel_id && skb->protocol == bpf_htons(ETH_P_PROBE)) {
		struct { __u8 head[2]; __be32 ip; } __attribute__((packed)) sender = {
			.head = { 0x02, 0x01 }, .ip = bpf_htonl(key.remote_ipv4)
		};
		if (!me->tap || bpf_skb_store_bytes(skb, ETH_ALEN, &sender, sizeof(sender), 0) < 0)
			return drop(DROP_NO_TAP);
		return bpf_redirect(me->tap, 0);
	}
	if (!me->id)
		return drop(DROP_NO_ID);
	struct arrival come = {
		.source = key.tunnel_id & ID_MASK,
		.target = key.tunnel_id >> ID_BITS & ID_MASK,
		.ip = key.remote_ipv4,
		.ttl = key.tunnel_ttl,
	};
	return come.source ? arrive(skb, me, &come) : drop(DROP_KEY);
}

SEC("tc/tap_in") int tap_in(struct __sk_buff *skb)
{
	struct self *me = who_am_i();
	struct arrival come = {};

	if (!me)
		return drop(DROP_NO_ID);
	if (!skb->vlan_present && skb->protocol == bpf_htons(ETH_P_PROBE)) {
		struct bpf_tunnel_key key = { .tunnel_ttl = TTL };
		__be32 ip;
		if (bpf_skb_load_bytes(skb, 2, &ip, sizeof(ip)) < 0)
			return drop(DROP_TAGS);
		key.remote_ipv4 = bpf_ntohl(ip);
		if (bpf_skb_set_tunnel_key(skb, &key, KEY_SIZE, BPF_F_ZERO_CSUM_TX | BPF_F_DONT_FRAGMENT) < 0)
			return drop(DROP_KEY);
		return send_by_vxlan(skb, me);
	}
	if (read_tags(skb, &come) < 0)
		return drop(DROP_TAGS);
	if (!me->id)
		return drop(DROP_NO_ID);
	return arrive(skb, me, &come);
}

SEC("tc/from_container") int from_container(struct __sk_buff *skb)
{
	struct mac to = {}, from = {};
	struct self *me = who_am_i();

	skb->tc_index = 0;
	if (!me || read_macs(skb, &to, &from) < 0)
		return TC_ACT_OK;
	learn(&from, 0, skb->ifindex);
	if (is_group(&to))
		return TC_ACT_OK;
	struct place *place = bpf_map_lookup_elem(&macs, &to);
	if (!place)
		return TC_ACT_OK;
	if (!place->peer) {
		if (!place->ifindex || place->ifindex == skb->ifindex)
			return TC_ACT_OK;
		bpf_skb_change_type(skb, PACKET_HOST);
		return bpf_redirect_peer(place->ifindex, 0);
	}
	__u32 peer = place->peer & ID_MASK;
	struct neighbour *hop = bpf_map_lookup_elem(&hops, &peer);
	if (!me->id || !hop)
		return TC_ACT_OK;
	if (hop->by == BY_SLEEVE)
		return send_by_sleeve(skb, me, hop, me->id, peer, TTL);
	if (set_key(skb, me->id | peer << ID_BITS, hop->ip, TTL) < 0)
		return TC_ACT_OK;
	count_sent(skb, peer);
	return send_by_vxlan(skb, me);
}

char LICENSE[] SEC("license") = "GPL";
