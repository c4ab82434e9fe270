package certstore

import (
	"errors"
	"fmt"

	"mailpact/internal/directory"
)

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
			problem := fe.File + ": " + fe.Problem
			if fe.Err != nil {
				problem += ": " + fe.Err.Error()
			}
			faults = append(faults, directory.Fault{Path: fmt.Sprintf("certificates[%d]", i), Problem: problem, Mend: fe.Mend})
		case err != nil:
			faults = append(faults, directory.Fault{Path: fmt.Sprintf("certificates[%d]", i), Problem: err.Error()})
		}
	}
	return faults
}
