// Package object holds the interface of object stores: buckets of an account
// and the objects in them, addressed as s3://bucket/key. Adapters live in the
// folders below; objecttest is the suite that each of them passes.
package object

import (
	"context"
	"errors"
	"io"
	"time"
)

// What a store answers when it cannot do what was asked. They come wrapped: ask
// with errors.Is. None of them names a path of this machine.
var (
	ErrNotFound     = errors.New("no such object")
	ErrNoBucket     = errors.New("no such bucket")
	ErrBucketExists = errors.New("the bucket exists already")
	ErrExists       = errors.New("the object exists already")
	ErrTooLarge     = errors.New("the object is too large")
	ErrBadName      = errors.New("not a name of a bucket or an object")
)

// Store keeps objects. Accounts (12 digits) share nothing: two may have buckets
// of one name. It is safe for concurrent use.
//
// A name that breaks the rules is ErrBadName, before anything is touched.
type Store interface {
	// CreateBucket makes an empty bucket. Errors: ErrBucketExists.
	CreateBucket(ctx context.Context, account, bucket string) error

	// Get opens an object at its first byte; the caller closes it. What was
	// opened stays whole when the object is replaced or deleted meanwhile.
	// Errors: ErrNotFound, ErrNoBucket.
	Get(ctx context.Context, account string, ref Ref) (io.ReadCloser, Info, error)

	// Put stores what r gives until io.EOF, under a new key or in place of the old
	// object. Readers see all of it or nothing, and when Put has returned nil it
	// outlives a crash of the machine. An error of r is returned wrapped.
	// Errors: ErrNoBucket, ErrTooLarge, ErrExists.
	Put(ctx context.Context, account string, ref Ref, r io.Reader, o Options) error

	// List tells objects whose keys begin with prefix, in the byte order of the
	// keys. Errors: ErrNoBucket.
	List(ctx context.Context, account, bucket, prefix string, o ListOptions) (Page, error)

	// Delete removes an object; one that is not there is no error, as in S3.
	// Errors: ErrNoBucket.
	Delete(ctx context.Context, account string, ref Ref) error
}

// Info tells of an object.
type Info struct {
	Key      string
	Size     int64     // bytes
	Modified time.Time // when it was put, UTC
}

// Options of Put.
type Options struct {
	MaxBytes int64 // more is ErrTooLarge and stores nothing; 0 means MaxBytes
	IfAbsent bool  // ErrExists instead of replacing an object
}

// MaxBytes is the most that one Put stores: 5 GiB, the limit of S3's PutObject.
// Source: S3 user guide, "Uploading objects".
const MaxBytes = 5 << 30

// ListOptions of List.
type ListOptions struct {
	After string // only keys behind this one; "" means from the first
	Limit int    // objects at most, 1..1000; 0 means 1000
}

// MaxList is the most objects that one List tells. Source: S3 API,
// ListObjectsV2, MaxKeys.
const MaxList = 1000

// Page is one part of a list.
type Page struct {
	Objects []Info
	More    bool // there are keys behind the last one
}
