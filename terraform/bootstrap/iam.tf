locals {
  capabilities = yamldecode(file("${path.module}/capabilities.yaml"))

  members = { for key, email in module.github_federation.account_emails : "github-${key}" => "serviceAccount:${email}" }

  # Options of the capability table, whose rows are granted only if the option is on.
  asked_for = { "a budget" = var.billing_account != null }

  custom_roles = yamldecode(file("${path.module}/custom_roles.yaml"))

  grants = {
    for row in local.capabilities : "${row.actor} ${row.role} ${row.resource}" => merge(row, {
      member = local.members[row.actor]
      role   = startswith(row.role, "custom/") ? "projects/${var.project_id}/roles/${google_project_iam_custom_role.table[row.role].role_id}" : row.role
    }) if try(local.asked_for[row.when], true)
  }

  grants_on = {
    for kind in ["project", "bucket", "repository", "billing"] : kind => { for key, grant in local.grants : key => grant if split(":", grant.resource)[0] == kind }
  }
}

resource "google_project_iam_custom_role" "table" {
  for_each = local.custom_roles

  project     = var.project_id
  role_id     = split("/", each.key)[1]
  title       = split("/", each.key)[1]
  description = "Permissions that the workflows of image-manager need and that no narrow predefined role covers."
  permissions = each.value
  stage       = "GA"
}

resource "google_project_iam_member" "table" {
  for_each = local.grants_on["project"]

  project = var.project_id
  role    = each.value.role
  member  = each.value.member

  dynamic "condition" {
    for_each = can(each.value.grants_only) ? [each.value.grants_only] : []

    content {
      title       = "grants-only-what-the-stack-grants"
      description = "May change who holds these roles, and no others."
      expression  = "api.getAttribute('iam.googleapis.com/modifiedGrantsByRole', []).hasOnly([${join(", ", [for role in condition.value : "'${role}'"])}])"
    }
  }
}

resource "google_storage_bucket_iam_member" "table" {
  for_each = local.grants_on["bucket"]

  bucket = { "bucket:state" = google_storage_bucket.state.name }[each.value.resource]
  role   = each.value.role
  member = each.value.member
}

resource "google_artifact_registry_repository_iam_member" "table" {
  for_each = local.grants_on["repository"]

  project    = var.project_id
  location   = module.registry.location
  repository = { "repository:images" = module.registry.repository_id }[each.value.resource]
  role       = each.value.role
  member     = each.value.member
}

# A budget belongs to the billing account, so whoever runs this must be able to grant rights on it.
resource "google_billing_account_iam_member" "table" {
  for_each = local.grants_on["billing"]

  billing_account_id = var.billing_account
  role               = each.value.role
  member             = each.value.member
}
