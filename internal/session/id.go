package session

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
)

const (
	idPrefix = "ASIA"
	idLength = 20

	// An id holds 80 bits: one that is set, 40 of the account, 39 random ones.
	accountShift = 7
	maxAccount   = 999_999_999_999
)

// newID makes an access key id of an account. As at AWS, the account can be read
// from it: nothing else would tell whose session it was once its token is gone.
func newID(account string) string {
	n, _ := strconv.ParseUint(account, 10, 64) // check has seen 12 digits
	var b [10]byte
	_, _ = rand.Read(b[:]) // never fails
	var head [8]byte
	low := uint64(b[5] & (1<<accountShift - 1))
	binary.BigEndian.PutUint64(head[:], (1<<47|n<<accountShift|low)<<16)
	copy(b[:6], head[:6])
	return idPrefix + base32.StdEncoding.EncodeToString(b[:])
}

// IsID reports whether id has the form of a session's access key id.
func IsID(id string) bool {
	_, ok := accountNumber(id)
	return ok
}

// Account is the account of a session's access key id; false when id is none.
func Account(id string) (string, bool) {
	n, ok := accountNumber(id)
	if !ok {
		return "", false
	}
	return fmt.Sprintf("%012d", n), true
}

func accountNumber(id string) (uint64, bool) {
	rest, ok := strings.CutPrefix(id, idPrefix)
	if !ok || len(id) != idLength {
		return 0, false
	}
	// By hand: what IsID is asked for every request shall not allocate.
	var v uint64 // the first 50 bits
	for i := range len(rest) {
		var digit uint64
		switch c := rest[i]; {
		case c >= 'A' && c <= 'Z':
			digit = uint64(c - 'A')
		case c >= '2' && c <= '7':
			digit = uint64(c-'2') + 26
		default:
			return 0, false
		}
		if i < 10 {
			v = v<<5 | digit
		}
	}
	v >>= 2 // the first 48
	n := v &^ (1 << 47) >> accountShift
	return n, v>>47 == 1 && n <= maxAccount
}
