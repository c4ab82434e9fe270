package certstore

import (
	"errors"
	"fmt"

	"mailpact/internal/directory"
)

// CheckSeal reads the file that seals keys and returns what is wrong with it, as
// a fault of the configuration. An empty path has none.
func CheckSeal(path string) directory.Faults {
	_, err := OpenSeal(path, "")
	var fe *FileError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &fe):
		return directory.Faults{{Path: "server.keySealFile", Problem: fe.File + ": " + fe.Text(), Mend: fe.Mend}}
	}
	return directory.Faults{{Path: "server.keySealFile", Problem: err.Error()}}
}

// Check reads the pairs that a configuration names and returns what is wrong
// with them, as faults of the configuration. The positions in its file are not
// known here. Open refuses exactly what has a fault.
func Check(files []directory.CertificateFile) directory.Faults {
	var faults directory.Faults
	for i, f := range files {
		_, err := load(f, nil)
		var fe *FileError
		switch {
		case errors.As(err, &fe):
			faults = append(faults, directory.Fault{Path: fmt.Sprintf("certificates[%d]", i), Problem: fe.File + ": " + fe.Text(), Mend: fe.Mend})
		case err != nil:
			faults = append(faults, directory.Fault{Path: fmt.Sprintf("certificates[%d]", i), Problem: err.Error()})
		}
	}
	return faults
}
