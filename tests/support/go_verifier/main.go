// Checks C2SP proofs and cosignatures with the code that Go's own checksum database uses.
//
//	verifier VKEY-FILE PROOF-FILE ENTRY-FILE
//	verifier cosigned VKEY-FILE WITNESS-VKEY-FILE REQUEST-FILE COSIGNED-FILE OLD-NOTE-FILE
package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func main() {
	var err error
	if os.Args[1] == "cosigned" {
		err = cosigned(os.Args[2:])
	} else {
		err = check(os.Args[1], os.Args[2], os.Args[3])
	}
	if err != nil {
		fmt.Println("refused:", err)
		os.Exit(1)
	}
	fmt.Println("proven")
}

func check(keyFile, proofFile, entryFile string) error {
	key, err := os.ReadFile(keyFile)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(proofFile)
	if err != nil {
		return err
	}
	entry, err := os.ReadFile(entryFile)
	if err != nil {
		return err
	}
	verifier, err := note.NewVerifier(strings.TrimSpace(string(key)))
	if err != nil {
		return err
	}
	head, signed, found := strings.Cut(string(text), "\n\n")
	if !found {
		return fmt.Errorf("no checkpoint")
	}
	opened, err := note.Open([]byte(signed), note.VerifierList(verifier))
	if err != nil {
		return err
	}
	lines := strings.Split(opened.Text, "\n")
	if lines[0] != verifier.Name() {
		return fmt.Errorf("the checkpoint is of another log")
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		return err
	}
	root, err := tlog.ParseHash(lines[2])
	if err != nil {
		return err
	}
	parts := strings.Split(head, "\n")
	if len(parts) < 2 || parts[0] != "c2sp.org/tlog-proof@v1" {
		return fmt.Errorf("no tlog-proof")
	}
	index, err := strconv.ParseInt(strings.TrimPrefix(parts[1], "index "), 10, 64)
	if err != nil {
		return err
	}
	var proof tlog.RecordProof
	for _, line := range parts[2:] {
		hash, err := tlog.ParseHash(line)
		if err != nil {
			return err
		}
		proof = append(proof, hash)
	}
	return tlog.CheckRecord(proof, size, root, index, tlog.RecordHash(entry))
}

// A cosigner checks cosignature/v1 lines (type 0x04).
type cosigner struct {
	name string
	hash uint32
	key  ed25519.PublicKey
}

func (c cosigner) Name() string    { return c.name }
func (c cosigner) KeyHash() uint32 { return c.hash }
func (c cosigner) Verify(msg, sig []byte) bool {
	if len(sig) != 8+ed25519.SignatureSize {
		return false
	}
	said := fmt.Sprintf("cosignature/v1\ntime %d\n%s", binary.BigEndian.Uint64(sig), msg)
	return ed25519.Verify(c.key, []byte(said), sig[8:])
}

func parseCosigner(vkey string) (note.Verifier, error) {
	parts := strings.SplitN(strings.TrimSpace(vkey), "+", 3)
	if len(parts) != 3 {
		return nil, fmt.Errorf("no verifier key")
	}
	raw, err := base64.StdEncoding.DecodeString(parts[2])
	if err != nil || len(raw) != 33 || raw[0] != 4 {
		return nil, fmt.Errorf("no key of a cosigner")
	}
	sum := sha256.Sum256(append([]byte(parts[0]+"\n"), raw...))
	if fmt.Sprintf("%x", sum[:4]) != parts[1] {
		return nil, fmt.Errorf("the hash of the key is another")
	}
	return cosigner{parts[0], binary.BigEndian.Uint32(sum[:4]), raw[1:]}, nil
}

func cosigned(files []string) error {
	var texts []string
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		texts = append(texts, string(data))
	}
	log, err := note.NewVerifier(strings.TrimSpace(texts[0]))
	if err != nil {
		return err
	}
	witness, err := parseCosigner(texts[1])
	if err != nil {
		return err
	}
	head, signed, found := strings.Cut(texts[2], "\n\n")
	if !found {
		return fmt.Errorf("no request")
	}
	opened, err := note.Open([]byte(texts[3]), note.VerifierList(log, witness))
	if err != nil {
		return err
	}
	if len(opened.Sigs) != 2 || !bytes.HasPrefix([]byte(texts[3]), []byte(signed)) {
		return fmt.Errorf("not signed by both, or another checkpoint")
	}
	old, err := note.Open([]byte(texts[4]), note.VerifierList(log))
	if err != nil {
		return err
	}
	oldSize, oldRoot, err := parseHead(old.Text)
	if err != nil {
		return err
	}
	size, root, err := parseHead(opened.Text)
	if err != nil {
		return err
	}
	lines := strings.Split(head, "\n")
	if lines[0] != fmt.Sprintf("old %d", oldSize) {
		return fmt.Errorf("the request is from another size")
	}
	var proof tlog.TreeProof
	for _, line := range lines[1:] {
		hash, err := tlog.ParseHash(line)
		if err != nil {
			return err
		}
		proof = append(proof, hash)
	}
	return tlog.CheckTree(proof, size, root, oldSize, oldRoot)
}

func parseHead(text string) (int64, tlog.Hash, error) {
	lines := strings.Split(text, "\n")
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		return 0, tlog.Hash{}, err
	}
	root, err := tlog.ParseHash(lines[2])
	return size, root, err
}
