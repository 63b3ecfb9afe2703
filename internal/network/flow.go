package network

import (
	"net/netip"
	"strconv"
	"time"
)

// Action says what became of a connection.
type Action string

// The two actions of a flow record.
const (
	Accept Action = "ACCEPT"
	Reject Action = "REJECT"
)

// FlowHeader is the first line of each file of flow records: the fields of
// version 2 in AWS's order.
const FlowHeader = "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status"

// Flow is one connection, or one that was refused.
//
// Source: Amazon VPC user guide, "Flow log records", version 2.
type Flow struct {
	// Interface is the listener's name, or "egress-" and the purpose.
	Interface string
	// Src opened the connection, to Dst. A zero one is written as "-": there is
	// none (unix sockets), or it never came to be known (a name that was refused).
	Src, Dst netip.AddrPort
	// Packets are the reads and writes of the socket that moved something: a
	// program does not see the packets themselves.
	Packets int64
	// Bytes are those of both directions, without the heads of packets.
	Bytes      int64
	Start, End time.Time
	Action     Action
}

// tcp is the number of the protocol in RFC 790's successor, IANA's registry.
const tcp = "6"

// append writes the record as one line.
func (f Flow) append(b []byte, account string) []byte {
	protocol := tcp
	if !f.Src.IsValid() && !f.Dst.IsValid() {
		protocol = "-"
	}
	b = append(b, "2 "+account+" "+f.Interface+" "...)
	b = append(b, address(f.Src)+" "+address(f.Dst)+" "+port(f.Src)+" "+port(f.Dst)+" "+protocol+" "...)
	b = strconv.AppendInt(b, f.Packets, 10)
	b = strconv.AppendInt(append(b, ' '), f.Bytes, 10)
	b = strconv.AppendInt(append(b, ' '), f.Start.Unix(), 10)
	b = strconv.AppendInt(append(b, ' '), f.End.Unix(), 10)
	return append(b, " "+string(f.Action)+" OK\n"...)
}

// skipped tells that records were lost because too many came at once.
func skipped(b []byte, account string, from, to time.Time) []byte {
	b = append(b, "2 "+account+" - - - - - - - - "...)
	b = strconv.AppendInt(b, from.Unix(), 10)
	b = strconv.AppendInt(append(b, ' '), to.Unix(), 10)
	return append(b, " - SKIPDATA\n"...)
}

func address(a netip.AddrPort) string {
	if !a.IsValid() {
		return "-"
	}
	return plain(a.Addr()).String()
}

func port(a netip.AddrPort) string {
	if !a.IsValid() {
		return "-"
	}
	return strconv.Itoa(int(a.Port()))
}
