{{- define "geophone.labels" -}}
app.kubernetes.io/name: geophone
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "geophone.selector" -}}
app.kubernetes.io/name: geophone
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- /* A digest says more than a tag. */ -}}
{{- define "geophone.image" -}}
{{- with .Values.image -}}
{{- if .digest }}{{ .repository }}@{{ .digest }}{{ else }}{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end }}
{{- end }}

{{- /* Cluster-wide names, so that two releases do not fight. */ -}}
{{- define "geophone.name" -}}
{{- if eq .Release.Name "geophone" }}geophone{{ else }}{{ printf "geophone-%s" .Release.Name | trunc 63 | trimSuffix "-" }}{{ end }}
{{- end }}
