mock_provider "google" {
  override_during = plan

  mock_resource "google_iam_workload_identity_pool" {
    defaults = { name = "projects/123456789012/locations/global/workloadIdentityPools/github" }
  }
}

variables {
  project_id   = "example-project"
  repository   = { repository_id = "123456789", repository_owner_id = "987654" }
  environments = { apply = "infra-dev", deploy = "dev" }
  deploy_ref   = "refs/heads/main"
}

run "example_plans" {
  command = plan

  module {
    source = "./example"
  }
}

run "condition_names_both_numbers" {
  command = plan

  assert {
    condition     = google_iam_workload_identity_pool_provider.github.attribute_condition == "assertion.repository_owner_id == '987654' && assertion.repository_id == '123456789'"
    error_message = "Another repository is let in."
  }
}

run "issuer_is_github" {
  command = plan

  assert {
    condition     = google_iam_workload_identity_pool_provider.github.oidc[0].issuer_uri == "https://token.actions.githubusercontent.com"
    error_message = "Another issuer."
  }
}

run "environment_is_optional" {
  command = plan

  assert {
    condition     = startswith(google_iam_workload_identity_pool_provider.github.attribute_mapping["attribute.deployment"], "has(assertion.environment) ? ")
    error_message = "Jobs without an environment are refused."
  }
}

run "there_are_three_accounts" {
  command = plan

  assert {
    condition     = toset([for account in google_service_account.this : account.account_id]) == toset(["github-plan", "github-apply", "github-deploy"])
    error_message = "Not one account for each right."
  }
}

run "applying_needs_its_environment" {
  command = plan

  assert {
    condition     = endswith(google_service_account_iam_member.workflow["apply"].member, "/attribute.deployment/infra-dev:refs/heads/main:infra-apply.yml")
    error_message = "A job of another environment, branch or workflow may apply."
  }
}

run "deploying_needs_its_environment" {
  command = plan

  assert {
    condition     = endswith(google_service_account_iam_member.workflow["deploy"].member, "/attribute.deployment/dev:refs/heads/main:deploy.yml")
    error_message = "A job of another environment, branch or workflow may deploy."
  }
}

run "tags_may_deploy_where_they_are_meant_to" {
  command = plan

  variables {
    environments = { apply = "infra-prod", deploy = "prod" }
    deploy_ref   = "refs/tags/v"
  }

  assert {
    condition     = endswith(google_service_account_iam_member.workflow["deploy"].member, "/attribute.deployment/prod:refs/tags/v:deploy.yml")
    error_message = "A branch may deploy."
  }
}

run "deployment_names_environment_branch_and_workflow" {
  command = plan

  assert {
    condition     = google_iam_workload_identity_pool_provider.github.attribute_mapping["attribute.deployment"] == "has(assertion.environment) ? assertion.environment + ':' + (assertion.ref.startsWith('refs/tags/v') ? 'refs/tags/v' : assertion.ref) + ':' + assertion.workflow_ref.extract('/.github/workflows/{file}@') : ''"
    error_message = "What a job may become does not depend on all three."
  }
}

run "other_branch_is_refused" {
  command = plan

  variables {
    deploy_ref = "refs/heads/feature"
  }

  expect_failures = [var.deploy_ref]
}

run "planning_needs_the_repository" {
  command = plan

  assert {
    condition     = endswith(google_service_account_iam_member.workflow["plan"].member, "/attribute.repository_id/123456789")
    error_message = "Another repository may plan."
  }
}

run "workflows_only_borrow_identities" {
  command = plan

  assert {
    condition     = alltrue([for grant in google_service_account_iam_member.workflow : grant.role == "roles/iam.workloadIdentityUser"])
    error_message = "A workflow holds another role."
  }
}

run "each_workflow_borrows_its_own" {
  command = plan

  assert {
    condition     = alltrue([for key, grant in google_service_account_iam_member.workflow : endswith(grant.service_account_id, "/github-${key}@example-project.iam.gserviceaccount.com")])
    error_message = "A workflow borrows another's account."
  }
}

run "pool_lets_in" {
  command = plan

  assert {
    condition     = google_iam_workload_identity_pool.github.disabled == false
    error_message = "The pool is switched off."
  }
}

run "name_for_number_is_refused" {
  command = plan

  variables {
    repository = { repository_id = "owner/name", repository_owner_id = "1" }
  }

  expect_failures = [var.repository]
}

run "owner_by_name_is_refused" {
  command = plan

  variables {
    repository = { repository_id = "1", repository_owner_id = "owner" }
  }

  expect_failures = [var.repository]
}

run "one_environment_for_both_is_refused" {
  command = plan

  variables {
    environments = { apply = "dev", deploy = "dev" }
  }

  expect_failures = [var.environments]
}

run "malformed_environment_is_refused" {
  command = plan

  variables {
    environments = { apply = "infra/dev", deploy = "dev" }
  }

  expect_failures = [var.environments]
}

run "malformed_project_is_refused" {
  command = plan

  variables {
    project_id = "Example"
  }

  expect_failures = [var.project_id]
}
