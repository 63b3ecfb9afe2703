package workload

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Headers and limits of the instance metadata service, version 2.
const (
	headerTTL   = "X-Aws-Ec2-Metadata-Token-Ttl-Seconds"
	headerToken = "X-Aws-Ec2-Metadata-Token" // #nosec G101 -- a name
	maxTTL      = 21600                      // seconds
)

// metadata answers what SDKs ask on instances. rest follows "/latest/"; own is the
// workload's token when it stood in the path.
func (h *Handler) metadata(w http.ResponseWriter, r *http.Request, rest, own string) error {
	// Who has a token in the path is told apart by it, all others by their user.
	fits := func(k *worker) bool { return k.Token.IsZero() == (own == "") }
	if rest == "api/token" {
		if r.Method != http.MethodPut {
			return refusal{http.StatusMethodNotAllowed, "Method not allowed"}
		}
		ttl, err := strconv.ParseUint(r.Header.Get(headerTTL), 10, 32)
		if err != nil || ttl < 1 || ttl > maxTTL {
			return refusal{http.StatusBadRequest, headerTTL + ": must be 1 to 21600"}
		}
		k, err := h.prove(r, own, fits)
		if err != nil {
			return err
		}
		w.Header().Set(headerTTL, strconv.FormatUint(ttl, 10))
		return writeText(w, h.newToken(k, time.Duration(ttl)*time.Second)) // #nosec G115 -- at most 21600
	}
	if r.Method != http.MethodGet {
		return refusal{http.StatusMethodNotAllowed, "Method not allowed"}
	}
	k, err := h.prove(r, own, fits)
	if err != nil {
		return err
	}
	// Version 1, which asked without a token, is not spoken.
	if !h.goodToken(k, r.Header.Get(headerToken)) {
		return unknown()
	}
	return h.document(w, r, k, rest)
}

// document answers a question of a proved workload.
func (h *Handler) document(w http.ResponseWriter, r *http.Request, k *worker, rest string) error {
	role := path.Base(k.Role)
	switch strings.TrimSuffix(rest, "/") {
	case "meta-data/iam/security-credentials":
		return writeText(w, role)
	case "meta-data/iam/security-credentials/" + role:
		c, err := k.ec2.get(h, r.Context(), k, "ec2.amazonaws.com")
		if err != nil {
			return err
		}
		return writeJSON(w, instanceCredentials{
			Code: "Success", LastUpdated: instant(h.cfg.Now()), Type: "AWS-HMAC",
			AccessKeyID: c.AccessKeyID, SecretAccessKey: string(c.Secret.Reveal()), Token: c.Token, Expiration: instant(c.Expires),
		})
	case "meta-data/placement/region":
		return writeText(w, h.cfg.Region)
	case "meta-data/placement/availability-zone":
		return writeText(w, h.cfg.Region+"a")
	case "dynamic/instance-identity/document":
		account, _, _ := strings.Cut(strings.TrimPrefix(k.Role, "arn:aws:iam::"), ":")
		return writeJSON(w, map[string]string{"accountId": account, "region": h.cfg.Region, "availabilityZone": h.cfg.Region + "a"})
	}
	return refusal{http.StatusNotFound, "Not found"}
}

// The forms of the answers.
type (
	containerCredentials struct {
		RoleARN         string `json:"RoleArn"`
		AccessKeyID     string `json:"AccessKeyId"`
		SecretAccessKey string
		Token           string
		Expiration      string
	}
	instanceCredentials struct {
		Code            string
		LastUpdated     string
		Type            string
		AccessKeyID     string `json:"AccessKeyId"`
		SecretAccessKey string
		Token           string
		Expiration      string
	}
)

func instant(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }

func writeJSON(w http.ResponseWriter, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(b) // the client may be gone
	return nil
}

func writeText(w http.ResponseWriter, text string) error {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte(text)) // the client may be gone
	return nil
}

func newKey() (key [32]byte) {
	_, _ = rand.Read(key[:]) // never fails
	return key
}

// newToken makes a metadata token of a workload: its end, something random, and a
// code over both and the workload. Tokens end with the process.
func (h *Handler) newToken(k *worker, life time.Duration) string {
	b := binary.BigEndian.AppendUint64(nil, uint64(h.cfg.Now().Add(life).UnixMilli())) // #nosec G115 -- not before 1970
	b = append(b, make([]byte, 16)...)
	_, _ = rand.Read(b[8:]) // never fails
	return base64.URLEncoding.EncodeToString(append(b, h.code(k, b)...))
}

// goodToken reports whether a token is one of the workload and has not ended.
func (h *Handler) goodToken(k *worker, token string) bool {
	b, err := base64.URLEncoding.Strict().DecodeString(token)
	if err != nil || len(b) != 8+16+sha256.Size {
		return false
	}
	end := int64(binary.BigEndian.Uint64(b)) // #nosec G115 -- our own, or the code is wrong
	return subtle.ConstantTimeCompare(b[24:], h.code(k, b[:24])) == 1 && h.cfg.Now().UnixMilli() < end
}

func (h *Handler) code(k *worker, b []byte) []byte {
	m := hmac.New(sha256.New, h.key[:])
	m.Write(slices.Concat(b, []byte(k.Name)))
	return m.Sum(nil)
}
