// Package localca makes the certificates of a server that has none: a
// certificate authority for this data directory, and a server certificate under
// it. Clients trust the authority by its ca.pem file (AWS_CA_BUNDLE).
package localca

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

const (
	caYears     = 10
	serverDays  = 397 // what current clients accept at most
	renewBefore = 30 * 24 * time.Hour
)

// Files are the paths of one authority.
type Files struct{ CA, CAKey, Cert, Key string }

// In names the files below dir.
func In(dir string) Files {
	return Files{
		CA: filepath.Join(dir, "ca.pem"), CAKey: filepath.Join(dir, "ca.key"),
		Cert: filepath.Join(dir, "server.pem"), Key: filepath.Join(dir, "server.key"),
	}
}

// Ensure returns a server certificate for hosts (names or IP addresses), made on
// first use and again 30 days before it ends or when hosts are missing in it.
// Keys are written with mode 0600 in dir, which gets mode 0700.
func Ensure(dir string, hosts []string, now time.Time) (tls.Certificate, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return tls.Certificate{}, fmt.Errorf("make the folder for certificates: %w", err)
	}
	f := In(dir)
	if c, err := tls.LoadX509KeyPair(f.Cert, f.Key); err == nil && serves(c, hosts, now) {
		return c, nil
	}
	ca, caKey, err := authority(f, now)
	if err != nil {
		return tls.Certificate{}, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make a server key: %w", err)
	}
	t, err := template("Outcrop server", now, now.AddDate(0, 0, serverDays))
	if err != nil {
		return tls.Certificate{}, err
	}
	t.KeyUsage = x509.KeyUsageDigitalSignature
	t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		} else {
			t.DNSNames = append(t.DNSNames, h)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, t, ca, &key.PublicKey, caKey)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("sign the server certificate: %w", err)
	}
	if err := writeKey(f.Key, key); err != nil {
		return tls.Certificate{}, err
	}
	if err := writeCert(f.Cert, der); err != nil {
		return tls.Certificate{}, err
	}
	c, err := tls.LoadX509KeyPair(f.Cert, f.Key)
	if err != nil {
		return c, fmt.Errorf("read the server certificate back: %w", err)
	}
	return c, nil
}

// serves reports whether c is good for all hosts for a while yet.
func serves(c tls.Certificate, hosts []string, now time.Time) bool {
	leaf, err := x509.ParseCertificate(c.Certificate[0])
	if err != nil || now.Before(leaf.NotBefore) || now.Add(renewBefore).After(leaf.NotAfter) {
		return false
	}
	for _, h := range hosts {
		if leaf.VerifyHostname(h) != nil {
			return false
		}
	}
	return true
}

func authority(f Files, now time.Time) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	pair, err := tls.LoadX509KeyPair(f.CA, f.CAKey)
	if err == nil {
		cert, perr := x509.ParseCertificate(pair.Certificate[0])
		key, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
		if perr != nil || !ok {
			return nil, nil, fmt.Errorf("the certificate authority in %s is not one that Outcrop made; move it away", filepath.Dir(f.CA))
		}
		return cert, key, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("read the certificate authority: %w", err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("make an authority key: %w", err)
	}
	t, err := template("Outcrop local authority", now, now.AddDate(caYears, 0, 0))
	if err != nil {
		return nil, nil, err
	}
	t.IsCA, t.BasicConstraintsValid, t.MaxPathLenZero = true, true, true
	t.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	der, err := x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key)
	if err != nil {
		return nil, nil, fmt.Errorf("sign the authority: %w", err)
	}
	if err := writeKey(f.CAKey, key); err != nil {
		return nil, nil, err
	}
	if err := writeCert(f.CA, der); err != nil {
		return nil, nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, nil, fmt.Errorf("read the authority back: %w", err)
	}
	return cert, key, nil
}

func template(name string, from, to time.Time) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("draw a serial number: %w", err)
	}
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    from.Add(-time.Hour), // clocks differ
		NotAfter:     to,
	}, nil
}

func writeKey(path string, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("encode a key: %w", err)
	}
	return write(path, &pem.Block{Type: "PRIVATE KEY", Bytes: der}, 0o600)
}

func writeCert(path string, der []byte) error {
	return write(path, &pem.Block{Type: "CERTIFICATE", Bytes: der}, 0o644)
}

// write replaces path in one step, so no reader sees half a file.
func write(path string, block *pem.Block, mode fs.FileMode) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return fmt.Errorf("write a certificate file: %w", err)
	}
	defer os.Remove(tmp.Name())
	err = errors.Join(tmp.Chmod(mode), pem.Encode(tmp, block), tmp.Sync(), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("write a certificate file: %w", err)
	}
	return nil
}
