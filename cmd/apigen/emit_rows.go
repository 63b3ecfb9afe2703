package main

import "go/format"

// emitTestRows writes a list of all generated structs with their shapes, from
// which the tests of package awsapi prove that types and tables agree.
func emitTestRows(apis []*api) ([]byte, error) {
	var s source
	s.begin("awsapi_test")
	s.p("import (\n\"reflect\"\n")
	s.p("%q", awsapiPath)
	for _, a := range apis {
		s.p("%q", awsapiPath+"/"+a.pkg)
	}
	s.p(")\n")
	s.p("// goType is a generated struct and the name of its shape.")
	s.p("type goType struct {\nservice *awsapi.Service\nshape string\ntyp reflect.Type\n}\n")
	s.p("func goTypes() []goType {\nreturn []goType{")
	for _, a := range apis {
		for _, n := range a.shapes {
			if n.Type == "structure" && !n.Document {
				s.p("{&%s.%s, %q, reflect.TypeOf(%s.%s{})},", a.pkg, modelVar, n.Name, a.pkg, n.goName)
			}
		}
	}
	s.p("}\n}\n")
	s.p("// goOps lists the typed operation values.")
	s.p("func goOps() []goOp {\nreturn []goOp{")
	for _, a := range apis {
		for i := range a.facts.Operations {
			s.p("newGoOp(%s.Op%s),", a.pkg, a.facts.Operations[i].Name)
		}
	}
	s.p("}\n}")
	return format.Source(s.text)
}
