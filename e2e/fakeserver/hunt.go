package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// prey is what the fake server is told of its surroundings.
type prey struct {
	Listener string   // address of the server that started it
	Files    []string // that belong to that server: its database, its root key
	Socket   string   // a unix socket of somebody else's
}

// found is what came of an attempt: "" when it succeeded, else how it was denied.
type found struct {
	Attempts map[string]string
	Env      []string // names of its variables
	Home     string
}

func (p prey) hunt() found {
	said := func(err error) string {
		if err != nil {
			return err.Error()
		}
		return ""
	}
	f := found{Attempts: map[string]string{}, Home: os.Getenv("HOME")}
	for name, try := range map[string]func() error{
		"connect to the server":         dial("tcp", p.Listener),
		"connect to another machine":    dial("tcp", "192.0.2.1:443"),
		"ask a name server":             dial("udp", "192.0.2.1:53"),
		"connect to another's socket":   dial("unix", p.Socket),
		"listen on a port":              listen,
		"read the server's environment": open(fmt.Sprintf("/proc/%d/environ", os.Getppid()), os.O_RDONLY),
		"read users":                    open("/etc/passwd", os.O_RDONLY),
		"change the weights":            open(option("--model"), os.O_RDWR),
		"keep a file beside them":       keep(filepath.Dir(option("--model"))),
		"keep a file of its own":        keep(filepath.Dir(option("--host"))),
		"start a program":               func() error { return exec.Command("/bin/true").Run() },
		"signal the server":             func() error { return syscall.Kill(os.Getppid(), 0) },
	} {
		f.Attempts[name] = said(try())
	}
	for _, path := range p.Files {
		f.Attempts["read "+filepath.Base(path)] = said(open(path, os.O_RDONLY)())
	}
	for _, v := range os.Environ() {
		name, _, _ := strings.Cut(v, "=")
		f.Env = append(f.Env, name)
	}
	return f
}

func dial(network, address string) func() error {
	return func() error {
		c, err := net.DialTimeout(network, address, time.Second)
		if err != nil {
			return err
		}
		defer c.Close() // enough was seen
		if network == "udp" {
			_, err = c.Write([]byte("x"))
		}
		return err
	}
}

func listen() error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	return l.Close()
}

func open(path string, how int) func() error {
	return func() error {
		f, err := os.OpenFile(path, how, 0)
		if err != nil {
			return err
		}
		defer f.Close() // nothing was written
		if how == os.O_RDONLY {
			_, err = f.Read(make([]byte, 1))
		}
		return err
	}
}

// keep writes a file into a folder, and removes it.
func keep(dir string) func() error {
	return func() error {
		path := filepath.Join(dir, "kept")
		if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
			return err
		}
		return os.Remove(path)
	}
}
