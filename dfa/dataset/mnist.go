package dataset

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/light-in-the-loop/opu/internal/atomicfile"
)

// mnist identifies the four files of MNIST (Y. LeCun, C. Cortes, C. Burges): the
// sha256 of the uncompressed file, by which Load recognises it however it was
// packed, and size and sha256 of the original .gz, which is what mirrors serve.
var mnist = [4]struct {
	raw, gz string
	gzSize  int64
}{
	trainImages: {"ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db", "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609", 9912422},
	trainLabels: {"65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5", "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c", 28881},
	testImages:  {"0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7", "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6", 1648877},
	testLabels:  {"ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2", "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6", 4542},
}

// mirrors are the public copies of MNIST that Download asks if it is told none.
var mirrors = []string{
	"https://ossci-datasets.s3.amazonaws.com/mnist/",
	"https://storage.googleapis.com/cvdf-datasets/mnist/",
}

// Download fetches the four files of MNIST (12 MB) into the folder dir, which is
// created if it is missing. baseURL is the address of a folder that serves them
// under their original names; if it is empty, well-known public mirrors are tried
// in turn. A file that dir holds already, unharmed, is not fetched again.
//
// Nothing that fails its checksum is kept: the error is then ErrChecksum. It
// blocks until all is done or ctx ends.
func Download(ctx context.Context, dir, baseURL string) error {
	bases := mirrors
	if baseURL != "" {
		bases = []string{strings.TrimSuffix(baseURL, "/") + "/"}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("cannot download MNIST: %w", err)
	}
	for i := range mnist {
		path := filepath.Join(dir, idxNames[i]+".gz")
		if err := checkFile(path, mnist[i].gz); err == nil {
			continue
		}
		var errs []error
		for _, base := range bases {
			err := fetch(ctx, base+idxNames[i]+".gz", path, mnist[i].gzSize, mnist[i].gz)
			errs = append(errs, err)
			if err == nil || ctx.Err() != nil {
				break
			}
		}
		if errs[len(errs)-1] != nil {
			return fmt.Errorf("cannot download MNIST: %w", errors.Join(errs...))
		}
	}
	return nil
}

// checkFile returns nil if the file at path has the given sha256.
func checkFile(path, want string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return err
	}
	return checkSum(sum.Sum(nil), want)
}

func checkSum(sum []byte, want string) error {
	if got := hex.EncodeToString(sum); got != want {
		return fmt.Errorf("%w: sha256 %s instead of %s", ErrChecksum, got, want)
	}
	return nil
}

// fetch saves what url serves at path if it has the given size and sha256.
func fetch(ctx context.Context, url, path string, size int64, sha string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	// The file is itself compressed: without this header the transport would
	// unpack what a server that labels it "Content-Encoding: gzip" sends.
	req.Header.Set("Accept-Encoding", "identity")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", url, resp.Status)
	}
	return atomicfile.Write(path, func(w io.Writer) error {
		sum := sha256.New()
		// One byte too many is enough to fail the checksum.
		if _, err := io.Copy(io.MultiWriter(w, sum), io.LimitReader(resp.Body, size+1)); err != nil {
			return fmt.Errorf("%s: %w", url, err)
		}
		if err := checkSum(sum.Sum(nil), sha); err != nil {
			return fmt.Errorf("%s: %w; use another mirror", url, err)
		}
		return nil
	})
}
