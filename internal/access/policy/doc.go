// Package policy is the IAM policy language: it reads, checks, prints and
// evaluates one policy document at a time.
//
// [Parse] turns a text into a [Document], which never changes afterwards and may
// be used by many goroutines. [Document.Evaluate] says what that one document
// says about a request; how the documents of a principal, a resource and an
// organisation come together to a decision is package access's business.
//
// Nothing here reads a clock, a file or a network: time, addresses and tags come
// with the request as condition keys.
//
// Source: IAM user guide, "IAM JSON policy element reference" and "Grammar of the
// IAM JSON policy language".
package policy
